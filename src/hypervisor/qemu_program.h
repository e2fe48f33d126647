/* The QEMU that is installed on this host, where no libvirt tells. */
#ifndef CULVERT_HYPERVISOR_QEMU_PROGRAM_H
#define CULVERT_HYPERVISOR_QEMU_PROGRAM_H

/** "7.2.22"; empty: there is none, or it does not tell within a few seconds. Runs it with --version
 */
void qemu_program_version(char version[32]);

#endif
