# A thin front to Meson: see README.md.
