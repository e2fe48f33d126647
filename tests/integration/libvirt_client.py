"""An unmodified client of libvirt that asks for libvirt's own tunnel, run on the source:
    libvirt_client.py FUNCTION DOMAIN LIBVIRT-OF-THE-DESTINATION
"""

import sys

import libvirt

FLAGS = (
    libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER | libvirt.VIR_MIGRATE_TUNNELLED
    | libvirt.VIR_MIGRATE_POSTCOPY
)  # fmt: skip


def main():
    function, name, uri = sys.argv[1:]
    domain = libvirt.open("qemu:///system").lookupByName(name)
    if function == "migrateToURI":
        domain.migrateToURI(uri, FLAGS)
    elif function == "migrateToURI2":
        domain.migrateToURI2(uri, None, None, FLAGS)
    elif function == "migrateToURI3":
        domain.migrateToURI3(uri, {}, FLAGS)
    elif function == "migrate":
        print(domain.migrate(libvirt.open(uri), FLAGS).name())
    elif function == "migrate2":
        print(domain.migrate2(libvirt.open(uri), None, FLAGS).name())


if __name__ == "__main__":
    main()
