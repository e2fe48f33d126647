#include "cli/exit_code.h"

int exit_code(enum error_code code)
{
	switch (code) {
	case ERROR_NONE:
		return 1;
	case ERROR_USAGE:
		return 2;
	case ERROR_LOCAL:
		return 3;
	case ERROR_LINK:
		return 4;
	case ERROR_PEER:
		return 5;
	case ERROR_IDENTITY:
		return 6;
	case ERROR_HYPERVISOR:
		return 7;
	case ERROR_CANCELLED:
		return 8;
	case ERROR_GUEST:
		return 9;
	}
	return 1;
}
