/* Post-copy: a destination whose virtual CPUs ask for a page as soon as the last one is there,
 * while bulk goes on. */
#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "endpoint.h"
#include "fail.h"
#include "load.h"
#include "moment.h"
#include "page.h"
#include "reader.h"

/* More than can be under way */
#define ASKED_MOST    1024
#define RECEIVE_BYTES 262144
#define TURN_MS       100

/* What the return path of QEMU carries: where, and how much */
struct request {
	uint64_t number; /* UINT64_MAX: the last word */
	uint64_t length;
};

/* The source: pages that were asked for and wait to be put in front of bulk */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t asked[ASKED_MOST];
static _Atomic uint64_t asked_count, taken_count;
static pthread_t return_path;

/* The sink */
struct vcpus {
	struct load *load;
	uint64_t next;
	unsigned under_way;
	uint64_t asked_ns[ASKED_MOST];
};

unsigned fault_take_asked(struct iovec *pieces, uint64_t *headers, unsigned most)
{
	unsigned count = 0;

	if (asked_count == taken_count)
		return 0;
	pthread_mutex_lock(&lock);
	for (; asked_count > taken_count && count < most; count++) {
		uint64_t number = asked[taken_count++ % ASKED_MOST];

		headers[count] = page_header(PAGE_URGENT, number);
		pieces[2 * count] = (struct iovec){&headers[count], sizeof(headers[count])};
		pieces[2 * count + 1] = (struct iovec){page_contents(number), PAGE_BYTES};
	}
	pthread_mutex_unlock(&lock);
	return count;
}

/* Where nothing else writes, the return path answers itself, as in QEMU. */
static void send_at_once(int fd, uint64_t number)
{
	uint64_t header = page_header(PAGE_URGENT, number);
	struct iovec pieces[2] = {{&header, sizeof(header)}, {page_contents(number), PAGE_BYTES}};

	endpoint_write_pieces(fd, pieces, 2);
}

static void *read_return_path(void *argument)
{
	struct load *load = argument;
	struct request request;

	while (endpoint_read(load->lanes[0].source, &request, sizeof(request))) {
		if (request.number == UINT64_MAX)
			return NULL;
		if (load->own_channel || load->without_bulk) {
			send_at_once(load->lanes[load->own_channel].source, request.number);
			continue;
		}
		pthread_mutex_lock(&lock);
		asked[asked_count++ % ASKED_MOST] = request.number;
		pthread_mutex_unlock(&lock);
	}
	fail("the return path ended");
}

static void *send_nothing(void *argument)
{
	struct lane *lane = argument;
	uint64_t header = page_header(PAGE_END, 0);

	while (!atomic_load(&lane->load->stopping))
		usleep(TURN_MS * 1000);
	/* What was asked for last is answered by then. */
	usleep(2 * TURN_MS * 1000);
	endpoint_write(lane->source, &header, sizeof(header));
	return NULL;
}

static void request_page(struct vcpus *vcpus)
{
	struct request request = {vcpus->next, PAGE_BYTES};

	vcpus->asked_ns[vcpus->next++ % ASKED_MOST] = moment_ns();
	vcpus->under_way++;
	endpoint_write(vcpus->load->lanes[0].sink, &request, sizeof(request));
}

static void on_page(uint64_t number, void *owner)
{
	struct vcpus *vcpus = owner;

	load_note(vcpus->load, moment_ns() - vcpus->asked_ns[number % ASKED_MOST]);
	vcpus->under_way--;
	if (!atomic_load(&vcpus->load->stopping))
		request_page(vcpus);
}

/* What is there now on lane @index */
static void receive(struct load *load, unsigned index, struct reader *reader, unsigned char *buffer)
{
	struct lane *lane = &load->lanes[index];
	ssize_t got = recv(lane->sink, buffer, RECEIVE_BYTES, MSG_DONTWAIT);

	if (got < 0 && (errno == EAGAIN || errno == EINTR))
		return;
	if (got <= 0)
		fail("the stream ended: %s", got < 0 ? strerror(errno) : "by its peer");
	reader_take(reader, buffer, (size_t)got);
	atomic_fetch_add_explicit(&lane->received_bytes, (uint64_t)got, memory_order_relaxed);
}

static void *receive_all(void *argument)
{
	struct load *load = ((struct lane *)argument)->load;
	struct vcpus vcpus = {.load = load};
	struct reader *readers = calloc(2, sizeof(*readers));
	unsigned char *buffer = malloc(RECEIVE_BYTES);
	struct request last_word = {UINT64_MAX, 0};
	unsigned count = load->own_channel ? 2 : 1;

	if (!readers || !buffer)
		fail("no memory");
	for (unsigned i = 0; i < count; i++) {
		readers[i].urgent = on_page;
		readers[i].owner = &vcpus;
	}
	for (unsigned i = 0; i < load->faults; i++)
		request_page(&vcpus);
	while (!readers[0].ended) {
		struct pollfd watched[2] = {{.fd = load->lanes[0].sink, .events = POLLIN},
			{.fd = count > 1 ? load->lanes[1].sink : -1, .events = POLLIN}};

		if (poll(watched, 2, TURN_MS) < 0 && errno != EINTR)
			fail("poll: %s", strerror(errno));
		/* The urgent channel first */
		for (unsigned i = count; i-- > 0;) {
			if (watched[i].revents)
				receive(load, i, &readers[i], buffer);
		}
	}
	endpoint_write(load->lanes[0].sink, &last_word, sizeof(last_word));
	free(buffer);
	free(readers);
	return NULL;
}

static void start(struct load *load)
{
	if (pthread_create(&return_path, NULL, read_return_path, load) != 0)
		fail("cannot start a thread");
	load_start(&load->lanes[0], 0, load->without_bulk ? send_nothing : bulk_send);
	load_start(&load->lanes[0], 1, receive_all);
}

static void join(struct load *load)
{
	pthread_join(load->lanes[0].threads[0], NULL);
	pthread_join(load->lanes[0].threads[1], NULL);
	pthread_join(return_path, NULL);
}

const struct load_kind load_fault = {.start = start, .join = join};
