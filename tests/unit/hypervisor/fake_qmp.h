/* A QMP server of a few steps, on a thread of its own. */
#ifndef CULVERT_TESTS_FAKE_QMP_H
#define CULVERT_TESTS_FAKE_QMP_H

struct step {
	const char *expect; /* a part of the next line that must come; NULL: send without waiting */
	const char *reply;  /* sent as it is, $ID being the id of the line; NULL: close */
};

#define GREETING                                                                                   \
	{NULL,                                                                                     \
		"{\"QMP\": {\"version\": {\"qemu\": {\"major\": 7, \"minor\": 2, \"micro\": 22}, " \
		"\"package\": \"\"}, \"capabilities\": [\"oob\"]}}\r\n"},                          \
	{                                                                                          \
		"\"qmp_capabilities\"", "{\"return\": {}, \"id\": $ID}\r\n"                        \
	}
#define OK "{\"return\": {}, \"id\": $ID}\r\n"
#define DONE                                                                                       \
	{                                                                                          \
		NULL, ""                                                                           \
	}

struct fake_qmp;

/** On a socketpair; @client_fd is the client's end. @steps end with DONE */
struct fake_qmp *fake_qmp_pair(const struct step *steps, int *client_fd);

/** On a listening socket at @path */
struct fake_qmp *fake_qmp_listen(const struct step *steps, const char *path);

/**
 * Wait for the end of the client, which must have taken every step.
 *
 * @returns  the last descriptor that it passed (the caller's now), or -1
 */
int fake_qmp_finish(struct fake_qmp *fake);

#endif
