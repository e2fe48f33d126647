#include "io/socket_owner.h"

#include <errno.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "base/descriptor.h"

struct question {
	struct nlmsghdr header;
	struct inet_diag_req_v2 body;
};

/* Of one socket: an answer is one message. */
struct answer {
	struct nlmsghdr header;
	union {
		struct inet_diag_msg socket;
		struct nlmsgerr error;
		char space[512];
	} body;
};

/* The other end's socket is the one whose addresses are ours the other way round. */
static int fill_in(struct question *question, int fd, struct error *err)
{
	struct sockaddr_in here;
	struct sockaddr_in there;
	socklen_t here_length = sizeof(here);
	socklen_t there_length = sizeof(there);
	struct inet_diag_sockid *id = &question->body.id;

	if (getsockname(fd, (struct sockaddr *)&here, &here_length) < 0 ||
		getpeername(fd, (struct sockaddr *)&there, &there_length) < 0)
		return error_errno(err, "cannot tell who connected");
	if (here.sin_family != AF_INET || there.sin_family != AF_INET)
		return error_set(err, ERROR_LOCAL, "not an IPv4 connection");
	*question = (struct question){
		.header = {.nlmsg_len = sizeof(*question),
			.nlmsg_type = SOCK_DIAG_BY_FAMILY,
			.nlmsg_flags = NLM_F_REQUEST},
		.body = {.sdiag_family = AF_INET,
			.sdiag_protocol = IPPROTO_TCP,
			.idiag_states = UINT32_MAX},
	};
	id->idiag_sport = there.sin_port;
	id->idiag_src[0] = there.sin_addr.s_addr;
	id->idiag_dport = here.sin_port;
	id->idiag_dst[0] = here.sin_addr.s_addr;
	id->idiag_cookie[0] = INET_DIAG_NOCOOKIE;
	id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
	return 0;
}

/* The kernel answers before send() returns. @returns its length, or -1 */
static ssize_t ask(const struct question *question, struct answer *answer)
{
	CLEANUP_FD int netlink =
		socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_SOCK_DIAG);
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};

	if (netlink < 0 ||
		sendto(netlink, question, sizeof(*question), 0, (struct sockaddr *)&kernel,
			sizeof(kernel)) < 0)
		return -1;
	return recv(netlink, answer, sizeof(*answer), 0);
}

int socket_owner_find(int fd, uid_t *uid, struct error *err)
{
	struct question question;
	struct answer answer = {0};
	const struct inet_diag_msg *found = &answer.body.socket;
	ssize_t length;

	if (fill_in(&question, fd, err) < 0)
		return -1;
	length = ask(&question, &answer);
	if (length < 0)
		return error_errno(err, "cannot ask the kernel who connected");
	if ((size_t)length < NLMSG_LENGTH(sizeof(*found)) ||
		answer.header.nlmsg_type != SOCK_DIAG_BY_FAMILY)
		return error_set(err, ERROR_LOCAL, "the kernel does not tell who connected");
	/* Of a socket that its program has closed, though what it sent still comes, the kernel says
	 * that it is root's. It has no inode any more. */
	if (found->idiag_inode == 0 || found->idiag_state != TCP_ESTABLISHED ||
		found->id.idiag_sport != question.body.id.idiag_sport ||
		found->id.idiag_dport != question.body.id.idiag_dport)
		return error_set(err, ERROR_LOCAL, "who connected has closed it again");
	*uid = found->idiag_uid;
	return 0;
}
