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
	@scripts/install-packages $(if $(filter libvirt,$(DEMO)),demo-libvirt,demo)
	@$(COMPILE)
	@CULVERT_BUILD=$(abspath $(BUILD)) scripts/as-root demo/$(DEMO) --mode $(MODE)

check:
	@scripts/install-packages check
	@scripts/as-root scripts/check

# A long run of the simulation from a seed of its own; `make soak SCHEDULES=100000` for a shorter one.
soak: compile
	@$(BUILD)/tests/sim/sim --count $(SCHEDULES) --seed $${SEED:-$$(date +%s)000000}

# Culvert beside other tunnels. LINK=fast|1g|10g|relay|wan|wantun TESTS=bulk,fault1,... ROUNDS=3 PEERS=culvert,nginx,...
# OUT=FILE for JSON lines; without any, some three minutes.
bench:
	@scripts/install-packages bench
	@$(COMPILE)
	@CULVERT_BUILD=$(abspath $(BUILD)) scripts/as-root bench/compare.py $(if $(LINK),--link $(LINK)) \
		$(if $(TESTS),--tests $(TESTS)) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(PEERS),--peers $(PEERS)) \
		$(if $(OUT),--out $(OUT))

install: all
	@meson configure $(BUILD) --prefix=$(PREFIX)
	@DESTDIR=$(DESTDIR) meson install -C $(BUILD)

clean:
	rm -rf $(BUILD) build-*

.PHONY: all compile demo check soak bench install clean
