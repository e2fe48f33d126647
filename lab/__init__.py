"""Two hosts on one machine, with real QEMU guests, for the tests, the demo and the benchmarks.

Needs root, but no KVM, no package beyond Debian's, and nothing that outlives the process.
"""
