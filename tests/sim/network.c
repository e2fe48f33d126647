#include "network.h"

void network_init(
	struct network *network, const size_t capacity[2], uint64_t delay_ms, uint64_t jitter_ms)
{
	for (size_t i = 0; i < LINKS_MOST; i++) {
		network->links[i].held[0] = false;
		network->links[i].held[1] = false;
	}
	network->capacity[0] = capacity[0];
	network->capacity[1] = capacity[1];
	network->delay_ms = delay_ms;
	network->jitter_most_ms = jitter_ms;
	network->link_count = 0;
	network->cut = false;
}

struct sim_link *network_open(struct network *network, struct random *random)
{
	struct sim_link *link = network->links;

	while (link < network->links + LINKS_MOST && sim_link_used(link))
		link++;
	if (link == network->links + LINKS_MOST)
		return NULL;
	link->number = network->link_count++;
	link->delay_ms =
		link->number == 0 ? network->delay_ms : random_from(random, 0, network->delay_ms);
	link->jitter_most_ms = network->jitter_most_ms;
	link->served = false;
	link->cut = false;
	for (size_t i = 0; i < 2; i++) {
		pipe_init(&link->pipes[i], network->capacity[i]);
		link->held[i] = true;
	}
	return link;
}

struct sim_link *network_find(struct network *network, uint64_t number)
{
	for (size_t i = 0; i < LINKS_MOST; i++) {
		struct sim_link *link = &network->links[i];

		if (sim_link_used(link) && link->number == number)
			return link;
	}
	return NULL;
}
