/* What every fuzz target has. */
#ifndef CULVERT_FUZZ_H
#define CULVERT_FUZZ_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/** As assert(): a fuzzer takes the abort for a finding */
static inline void fuzz_demand(bool holds)
{
	if (!holds)
		abort();
}

#endif
