/* Two daemons in one process: each with a worker, a certificate and the other as its peer; and the
 * second one accepting connections on 127.0.0.1. Any failure fails the test that asked. */
#ifndef CULVERT_TEST_HOSTS_H
#define CULVERT_TEST_HOSTS_H

#include <pthread.h>

#include "certificates.h"
#include "daemon/daemon.h"

#define HOSTS_DEADLINE_MS 20000

struct host {
	struct daemon daemon;
	struct config config;
	struct config_peer peers[2]; /* the other host; and one that does not exist */
	struct credential credential;
};

struct hosts {
	char directory[64];
	struct authority authority;
	struct host a; /* opens; its certificate names "hosta.example" */
	struct host b; /* accepts; "hostb.example" */
	char port[6];
	int listener;
	int stop[2];
	pthread_t thread;
	pthread_mutex_t accepting; /* held while a connection is given to the second host */
	bool deaf;                 /* under accepting: connections are closed at once */
	/* Written by the accepting thread when it has accepted one; -1: none */
	_Atomic int accepted_fd; /* a duplicate of the newest connection */
};

void hosts_start(struct hosts *hosts);
void hosts_stop(struct hosts *hosts);

/** Another worker for @host, before it has any channel */
void host_add_worker(struct host *host);

/* A worker that is kept from everything, as on a host that stands still; not for longer than the
 * deadline, so it outlives a test that fails */
struct standstill {
	_Atomic bool begun;
	_Atomic bool over;
	_Atomic bool ended;
};

void standstill_begin(struct standstill *standstill, struct worker *worker);
void standstill_end(struct standstill *standstill);

/** The second host answers no connection from now on, or does again */
void hosts_set_deaf(struct hosts *hosts, bool deaf);

/** Stop @host's workers now; hosts_stop() leaves them alone then */
void host_stop_worker(struct host *host);

/** Close the duplicate of the newest connection, so that the daemon's own close is the last */
void hosts_forget_connection(struct hosts *hosts);

/** Reset the newest connection (RST), as a router in between might */
void hosts_cut(struct hosts *hosts);

/** A TCP connection to the second host that says nothing; blocking, with a deadline */
int hosts_connect(struct hosts *hosts);

/** Both ends of a local socket: one for a channel, and one for the local program, which blocks but
 * not for longer than the deadline */
void hosts_local_pair(int *for_channel, int *for_program);

/** A local program of the second host that waits for a channel with @token */
int hosts_offer(struct hosts *hosts, char *token);

/** ... with these terms there, held as long as needed; or NULL */
int hosts_offer_under(struct hosts *hosts, struct terms *terms, char *token);

#endif
