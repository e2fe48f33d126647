"""What nova-compute does on the source of a live migration, by Nova's own code: run there with
    nova_migrate.py NOVA.CONF DESTINATIONS-NOVA.CONF UUID [postcopy]

Nova's conductor, database and message queue are not here: what they would have brought is made on
the spot. `postcopy` has Nova switch once the memory is under way. Prints what Nova made of its
configuration, as JSON.
"""

import nova.monkey_patch  # noqa: F401  first, as in nova.cmd

import json
import sys

import eventlet
from oslo_config import cfg

import nova.conf
from nova import config, context, objects
from nova.compute import vm_states
from nova.virt.libvirt.driver import LibvirtDriver


def destinations_address(path):
    """What the destination's nova-compute answers in pre_live_migration()."""
    settings = cfg.ConfigOpts()
    nova.conf.libvirt.register_opts(settings)
    settings(args=[], project="nova", default_config_files=[path])
    return settings.libvirt.live_migration_inbound_addr


def main():
    own, destinations, uuid, *modes = sys.argv[1:]
    config.parse_args(["nova-compute"], default_config_files=[own], configure_db=False, init_rpc=False)
    objects.register_all()
    driver = LibvirtDriver(None)
    driver._host.initialize()
    driver._parse_migration_flags()  # as init_host() does
    flavor = objects.Flavor(extra_specs={})
    instance = objects.Instance(
        uuid=uuid, host="hosta", vm_state=vm_states.ACTIVE, flavor=flavor, migration_context=None
    )
    data = objects.LibvirtLiveMigrateData(
        block_migration=False, serial_listen_addr=None, serial_listen_ports=[], bdms=[],
        target_connect_addr=destinations_address(destinations),
    )  # fmt: skip
    guest = driver._host.get_guest(instance)
    operation = eventlet.spawn(
        driver._live_migration_operation, context.get_admin_context(), instance, "hostb", False,
        data, guest, [],
    )  # fmt: skip
    switched = False
    while not operation.dead:
        job = guest.get_job_info()
        if "postcopy" in modes and not switched and job.memory_processed > 4 << 20:
            guest.migrate_start_postcopy()
            switched = True
        eventlet.sleep(0.2)
    operation.wait()
    print(json.dumps({
        "uri": driver._live_migration_uri(data.target_connect_addr),
        "migrate_uri": driver._migrate_uri(data.target_connect_addr),
        "flags": driver._live_migration_flags,
        "switched": switched,
    }))  # fmt: skip


if __name__ == "__main__":
    main()
