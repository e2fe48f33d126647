# A thin front to Meson. `make demo` and `make check` need nothing but Debian 12, git, make and gcc:
# they install what is missing, and say what.

BUILD ?= build
PREFIX ?= /usr/local
DESTDIR ?=
DEMO ?= migrate
MODE ?= hybrid
SCHEDULES ?= 1000000

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

# A long run of the simulation from a seed of its own; `make soak SCHEDULES=100000` for a shorter one.
soak: compile
	@$(BUILD)/tests/sim/sim --count $(SCHEDULES) --seed $${SEED:-$$(date +%s)000000}

install: all
	@meson configure $(BUILD) --prefix=$(PREFIX)
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-*

.PHONY: all compile demo check soak install clean
