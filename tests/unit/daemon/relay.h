/* A port in front of the second host's that loses what a test wants lost, one connection after the
 * other. Any failure fails the test that asked. */
#ifndef CULVERT_TEST_RELAY_H
#define CULVERT_TEST_RELAY_H

#include "hosts.h"

enum relay_fault {
	RELAY_PASSES,
	RELAY_LOSES_QUESTION, /* reset before the acceptor has the opener's first frame */
	RELAY_LOSES_ANSWER,   /* reset when the acceptor has sent its first frame, which is lost */
};

#define RELAY_FAULTS_MOST 4

struct relay {
	enum relay_fault faults[RELAY_FAULTS_MOST]; /* of the first connections; then none */
	_Atomic unsigned connection_count;
	_Atomic bool stalled; /* nothing passes over the connection there is, until the opener
				 leaves it */
	int listener;
	int stop[2];
	struct hosts *hosts;
	pthread_t thread;
};

/** The first host finds the second one behind the relay from now on */
void relay_start(struct relay *relay, struct hosts *hosts);
void relay_stop(struct relay *relay);

#endif
