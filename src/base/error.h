/* What went wrong, for a program and for a person.
 *
 * Fallible functions return 0 or -1 (pointer or NULL) and take a struct error last, never NULL.
 * The code decides what happens next; the message says what happened, to what, and what to do.
 */
#ifndef CULVERT_BASE_ERROR_H
#define CULVERT_BASE_ERROR_H

enum error_code {
	ERROR_NONE,
	ERROR_USAGE,      /* bad argument or configuration; nothing was changed */
	ERROR_LOCAL,      /* this host: system calls, files, permissions, limits */
	ERROR_LINK,       /* the connection failed or was lost */
	ERROR_PEER,       /* the peer refused, or broke the protocol */
	ERROR_IDENTITY,   /* certificates and permissions */
	ERROR_HYPERVISOR, /* QEMU said no, or ended */
	ERROR_CANCELLED,  /* somebody asked for it */
	ERROR_GUEST,      /* the guest needs the operator */
};

#define ERROR_MESSAGE_BYTES 640

struct error {
	enum error_code code;
	char message[ERROR_MESSAGE_BYTES]; /* one line, no trailing full stop */
};

/** Replace what @err holds. @returns -1, so that a caller can return it */
int error_set(struct error *err, enum error_code code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/** As error_set() with code ERROR_LOCAL and strerror(errno) at the end. @returns -1 */
int error_errno(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** Put context in front of the message: "context: message". @returns -1 */
int error_prefix(struct error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/** "USAGE", "LOCAL", ... as in docs/CONTROL.md; never NULL */
const char *error_code_name(enum error_code code);

/** The code of a name; ERROR_LOCAL for a name that is not known */
enum error_code error_code_find(const char *name);

#endif
