# A thin front to Meson. `make demo` and `make check` need nothing but Debian 12, git, make and gcc:
# they install what is missing, and say what.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
DEMO ?= migrate
MODE ?= hybrid

COMPILE = $(MAKE) --no-print-directory compile

all:
	@scripts/install-packages build
	@$(COMPILE)

compile: $(BUILD)/build.ninja
	@ninja -C $(BUILD) --quiet

$(BUILD)/build.ninja:
	@meson setup $(BUILD) --prefix=$(PREFIX) >/dev/null

demo:
	@scripts/install-packages demo
	@$(COMPILE)
	@CULVERT_BUILD=$(abspath $(BUILD)) scripts/as-root demo/$(DEMO) --mode $(MODE)

check:
	@scripts/install-packages check
	@scripts/as-root scripts/check

install: all
	@meson configure $(BUILD) --prefix=$(PREFIX)
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-*

.PHONY: all compile demo check install clean
