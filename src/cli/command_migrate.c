#include <stdio.h>

#include "base/descriptor.h"
#include "cli/command.h"
#include "cli/detach.h"
#include "cli/exit_code.h"
#include "cli/follow.h"
#include "cli/output.h"
#include "cli/snapshot.h"
#include "control/client.h"

static json_t *number(uint64_t given)
{
	return given ? json_integer((json_int_t)given) : NULL;
}

static json_t *flag(bool given)
{
	return given ? json_true() : NULL;
}

/* Absent: the daemon's default */
static json_t *build_arguments(const struct options *options)
{
	return json_pack("{s:s, s:s, s:s*, s:s*, s:s*, s:b, s:o*, s:s*, s:s*, s:o*, s:o*, s:o*, "
			 "s:o*, s:o*, s:o*, s:o*}",
		"vm", options->operands[0], "host", options->operands[1], "mode", options->mode,
		"switch", options->switch_rule, "destination_vm", options->destination_vm,
		"quit_source", options->quit_source, "bandwidth_bytes_per_s",
		number(options->bandwidth), "connect", options->connect, "copy_storage",
		options->copy_storage, "parallel", number(options->parallel), "persistent",
		flag(options->persistent), "undefine_source", flag(options->undefine_source),
		"compressed", flag(options->compressed), "auto_converge",
		flag(options->auto_converge), "disks", flag(options->disks), "preempt",
		flag(options->preempt));
}

static int say_unanswered(const struct options *options)
{
	char status[600];

	options_command(options, "status", options->operands[0], status, sizeof(status));
	fprintf(stderr,
		"culvert: left before culvertd answered; the migration may have begun: %s\n",
		status);
	return EXIT_CODE_DETACHED;
}

static int explain_lost(const struct options *options, struct error *err)
{
	char status[600];

	options_command(options, "status", options->operands[0], status, sizeof(status));
	return error_set(err, ERROR_LOCAL,
		"culvertd ended before it answered, and the migration may have begun; start it "
		"again, then look: %s",
		status);
}

static void say_begun(const struct options *options, const struct snapshot *snapshot)
{
	char watch[600];

	options_command(options, "watch", snapshot->id, watch, sizeof(watch));
	printf("migration %s of %s to %s has begun; watch it: %s\n", snapshot->id, snapshot->vm,
		snapshot->host, watch);
}

/* @returns  1 with @snapshot, EXIT_CODE_DETACHED, or -1 */
static int begin(struct client *client, const struct options *options, int detach_fd,
	struct snapshot *snapshot, struct error *err)
{
	json_t *object;
	int result;

	if (client_send(client, "migrate", build_arguments(options), err) < 0)
		return -1;
	result = detach_take_answer(detach_fd, client, &object, err);
	if (result == 0)
		return say_unanswered(options);
	if (result < 0)
		return client_lost(client) ? explain_lost(options, err) : -1;
	if (snapshot_read(object, snapshot, err) < 0)
		result = -1;
	else if (options->detach && options->json)
		output_json(object);
	else if (options->detach)
		say_begun(options, snapshot);
	json_decref(object);
	return result;
}

static int run(const struct options *options, struct error *err)
{
	struct client *client = client_open(options->socket_path, err);
	CLEANUP_FD int detach_fd = client ? detach_open(err) : -1;
	struct snapshot snapshot;
	int result = -1;

	if (detach_fd >= 0)
		result = begin(client, options, detach_fd, &snapshot, err);
	if (result == 1)
		result = options->detach ? 0 : follow(client, options, detach_fd, snapshot.id, err);
	client_free(client);
	return result;
}

const struct command command_migrate = {
	.name = "migrate",
	.synopsis = "VM HOST [--mode MODE] [--switch RULE] [--destination-vm NAME] [--quit-source] "
		    "[--bandwidth RATE] [--disks] [--parallel N] [--preempt] [--connect URI] "
		    "[--persistent] [--undefine-source] [--copy-storage all|inc] "
		    "[--compressed] [--auto-converge] [--detach] [--json]",
	.summary = "move a running virtual machine to another host",
	.help = "  --mode MODE            hybrid (default), precopy or postcopy\n"
		"  --switch RULE          when hybrid goes over to post-copy: auto (default), "
		"pass:N\n"
		"                         or after:DURATION (250ms, 30s, 5m)\n"
		"  --bandwidth RATE       at most so much of the network (500Mbit, 5Gbit)\n"
		"  --disks                copy the disks, too; HOST has images of the same size\n"
		"  --parallel N           N streams for memory; before QEMU 10.1 with --mode "
		"precopy\n"
		"  --detach               return when the migration has begun\n"
		"  --json                 print every change as one line of JSON, the end last\n"
		"\n"
		"Of a bare QEMU:\n"
		"  --destination-vm NAME  what the waiting machine is called on HOST (default: "
		"VM)\n"
		"  --quit-source          end the paused QEMU here once the guest runs there\n"
		"  --preempt              a stream of its own for pages that the guest waits for\n"
		"\n"
		"Of domains of libvirt:\n"
		"  --connect URI          the libvirt here, if it is not qemu:///system\n"
		"  --persistent           define the domain on HOST\n"
		"  --undefine-source      ... and here not any more\n"
		"  --copy-storage all|inc copy disks: whole (as --disks), or only the topmost "
		"image\n"
		"                         of each\n"
		"  --compressed           send differences of pages that are sent again\n"
		"  --auto-converge        slow the guest down until pre-copy ends\n"
		"\n"
		"Ctrl-C leaves; the migration goes on.\n",
	.allowed = OPTION_MODE | OPTION_SWITCH | OPTION_DESTINATION_VM | OPTION_QUIT_SOURCE |
		OPTION_BANDWIDTH | OPTION_CONNECT | OPTION_PERSISTENT | OPTION_UNDEFINE_SOURCE |
		OPTION_COPY_STORAGE | OPTION_PARALLEL | OPTION_COMPRESSED | OPTION_AUTO_CONVERGE |
		OPTION_DISKS | OPTION_PREEMPT | OPTION_DETACH | OPTION_JSON,
	.fewest_operands = 2,
	.most_operands = 2,
	.run = run,
};
