/* A long line between two network namespaces, for kernels without netem: two tun devices.
 *
 *     tunwan [--delay MS] [--rate MBIT] [--stall SECONDS] NAMESPACE_FILE IP NAMESPACE_FILE IP
 *
 * Packets, up to 64 KiB at once with their GSO headers, are taken from one device at the rate of
 * the line, held for the delay and given to the other: TCP feels the whole round trip. SIGUSR2:
 * every packet is lost for the time of a stall (5 s). Runs until killed.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "fail.h"
#include "moment.h"

#define DEVICE       "wan0"
#define RING_BYTES   (96u << 20)
#define PACKET_BYTES 70000
#define PACKETS_MOST 65536
#define IDLE_NS      100000000ull
#define VNET_BYTES   10

/* Of each TCP segment beyond its data: headers, Ethernet's frame and gap */
#define SEGMENT_BYTES  1460
#define OVERHEAD_BYTES 52
#define ETHERNET_BYTES 38

static double delay_ms, rate_mbit, stall_s = 5;
static _Atomic uint64_t lost_until_ns;

struct packet {
	size_t offset;
	size_t length;
	uint64_t due_ns;
};

/* One direction */
struct way {
	int from;
	int to;
	unsigned char *ring;
	size_t ring_place;
	size_t ring_used;
	struct packet *packets;
	unsigned put;
	unsigned taken;
	double free_ns; /* when the line takes another packet */
};

static void on_stall(int number)
{
	(void)number;
	lost_until_ns = moment_ns() + (uint64_t)(stall_s * 1e9);
}

static void enter(int fd)
{
	if (fd < 0 || setns(fd, CLONE_NEWNET) < 0)
		fail("cannot enter a namespace: %s", strerror(errno));
}

static int make_device(const char *name_space, const char *ip)
{
	int home = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
	int there = open(name_space, O_RDONLY | O_CLOEXEC);
	struct ifreq request = {.ifr_flags = IFF_TUN | IFF_NO_PI | IFF_VNET_HDR};
	char command[200];
	int fd;

	enter(there);
	fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);
	snprintf(request.ifr_name, sizeof(request.ifr_name), DEVICE);
	if (fd < 0 || ioctl(fd, TUNSETIFF, &request) < 0 ||
		ioctl(fd, TUNSETOFFLOAD, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6) < 0)
		fail("cannot make a tun device: %s", strerror(errno));
	snprintf(command, sizeof(command),
		"ip address add %s/24 dev " DEVICE " && ip link set " DEVICE
		" mtu 1500 txqueuelen 1000 up",
		ip);
	if (system(command) != 0)
		fail("cannot set up " DEVICE);
	enter(home);
	close(home);
	close(there);
	return fd;
}

static void deliver(struct way *way, uint64_t now_ns)
{
	while (way->taken != way->put) {
		const struct packet *packet = &way->packets[way->taken % PACKETS_MOST];

		if (packet->due_ns > now_ns)
			return;
		if (lost_until_ns < now_ns)
			(void)!write(way->to, way->ring + packet->offset, packet->length);
		way->ring_used -= packet->length;
		way->taken++;
	}
}

static bool line_is_free(const struct way *way, uint64_t now_ns)
{
	return way->put - way->taken < PACKETS_MOST &&
		way->ring_used + 2 * PACKET_BYTES < RING_BYTES &&
		(rate_mbit == 0 || way->free_ns <= (double)now_ns);
}

/* @returns whether there was one */
static bool take_packet(struct way *way, uint64_t now_ns)
{
	ssize_t got;

	if (RING_BYTES - way->ring_place < PACKET_BYTES)
		way->ring_place = 0;
	got = read(way->from, way->ring + way->ring_place, PACKET_BYTES);
	if (got <= VNET_BYTES)
		return false;
	if (way->free_ns < (double)now_ns)
		way->free_ns = (double)now_ns;
	if (rate_mbit > 0) {
		size_t bytes = (size_t)got - VNET_BYTES;

		bytes += bytes / SEGMENT_BYTES * OVERHEAD_BYTES + ETHERNET_BYTES;
		way->free_ns += (double)bytes * 8e3 / rate_mbit;
	}
	way->packets[way->put++ % PACKETS_MOST] = (struct packet){
		way->ring_place, (size_t)got, (uint64_t)(way->free_ns + delay_ms * 1e6)};
	way->ring_place += (size_t)got;
	way->ring_used += (size_t)got;
	return true;
}

/* Until a packet is due, the line is free, or one comes */
static void wait_for_news(const struct way *way, bool line_free)
{
	struct pollfd watched = {.fd = line_free ? way->from : -1, .events = POLLIN};
	uint64_t now_ns = moment_ns();
	uint64_t wake_ns = now_ns + IDLE_NS;
	struct timespec pause;

	if (way->taken != way->put)
		wake_ns = way->packets[way->taken % PACKETS_MOST].due_ns;
	if (!line_free && rate_mbit > 0 && way->free_ns < (double)wake_ns)
		wake_ns = (uint64_t)way->free_ns;
	if (wake_ns <= now_ns)
		return;
	pause = (struct timespec){
		(time_t)((wake_ns - now_ns) / SECOND_NS), (long)((wake_ns - now_ns) % SECOND_NS)};
	(void)ppoll(&watched, 1, &pause, NULL);
}

static void *carry(void *argument)
{
	struct way *way = argument;

	way->ring =
		mmap(NULL, RING_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	way->packets = calloc(PACKETS_MOST, sizeof(*way->packets));
	if (way->ring == MAP_FAILED || !way->packets)
		fail("no memory");
	prctl(PR_SET_TIMERSLACK, 1);
	for (;;) {
		uint64_t now_ns = moment_ns();
		bool line_free;

		deliver(way, now_ns);
		line_free = line_is_free(way, now_ns);
		if (!line_free || !take_packet(way, now_ns))
			wait_for_news(way, line_free);
	}
	return NULL;
}

int main(int argc, char **argv)
{
	static const struct option options[] = {{"delay", required_argument, NULL, 'd'},
		{"rate", required_argument, NULL, 'r'}, {"stall", required_argument, NULL, 's'},
		{0}};
	static struct way ways[2];
	pthread_t thread;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		if (option == 'd')
			delay_ms = atof(optarg);
		else if (option == 'r')
			rate_mbit = atof(optarg);
		else if (option == 's')
			stall_s = atof(optarg);
		else
			fail("unknown option");
	}
	if (argc - optind != 4)
		fail("usage: tunwan [--delay MS] [--rate MBIT] NAMESPACE IP NAMESPACE IP");
	signal(SIGUSR2, on_stall);
	ways[0].from = ways[1].to = make_device(argv[optind], argv[optind + 1]);
	ways[1].from = ways[0].to = make_device(argv[optind + 2], argv[optind + 3]);
	puts("ready");
	fflush(stdout);
	if (pthread_create(&thread, NULL, carry, &ways[0]) != 0)
		fail("cannot start a thread");
	carry(&ways[1]);
}
