/* Connects /dev/nbdINDEX to an NBD server, and again whenever the server is lost: nbd-keeper INDEX PORT EXPORT HOST...
 *
 * Ends with 0 once the device is there, and stays behind as a process that needs nothing but its own memory: the root
 * file system is read over the device. While no server answers, readers wait; they get no error. The hosts, by IPv4
 * address, are tried in turn, the one after the lost one first. One that has another file under the name is refused.
 *
 * Sources: doc/proto.md of NetworkBlockDevice/nbd; drivers/block/nbd.c and include/uapi/linux/nbd-netlink.h of Linux.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <endian.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/genetlink.h>
#include <linux/nbd-netlink.h>
#include <linux/netlink.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	ANSWER_SECONDS = 3,	     /* a server has for each part of its greeting */
	REQUEST_SECONDS = 30,	     /* a read may take before the connection is given up; at a busy hour it takes long */
	SILENT_MILLISECONDS = 6000,  /* after which a server that acknowledges nothing is lost: else 15 minutes */
	PAUSE_MILLISECONDS = 300,    /* between two rounds through the hosts */
	ATTEMPTS_A_REMARK = 200,     /* a failed attempt is told of, the first round apart */
	FOR_EVER = 10 * 365 * 86400, /* seconds that readers wait for a server */
	BEGINNING = 4096,	     /* bytes of the file by which it is known: of squashfs they tell sizes and time */
	MOST_REPLIES = 16,
	LONGEST_REPLY = 4096,
};
#define REPLY_MAGIC 0x3e889045565a9ULL
enum { OPT_GO = 7, REP_ACK = 1, REP_INFO = 3, INFO_EXPORT = 0, READ_ONLY = 2 };

static struct {
	const char *name;
	int port;
	uint64_t size;
	uint16_t flags;
	char beginning[BEGINNING];
} export;
static const char *why = "";
static int kmsg = -1; /* opened at first: /dev is empty once the machine has changed to its root */

/* Warns on the console and in the journal. */
static void say(const char *format, ...)
{
	char text[256];
	va_list words;

	va_start(words, format);
	int length = vsnprintf(text, sizeof text, format, words);
	va_end(words);
	(void)!write(kmsg, text, length < (int)sizeof text ? length : (int)sizeof text - 1);
}

static int fail(const char *reason)
{
	why = reason;
	return -1;
}

static int take(int s, void *into, size_t count)
{
	for (char *p = into; count;) {
		ssize_t n = read(s, p, count);
		if (n <= 0)
			return fail(n ? strerror(errno) : "it hangs up");
		p += n;
		count -= n;
	}
	return 0;
}

static int give(int s, const void *from, size_t count)
{
	/* The socket takes all of these few bytes at once. */
	return send(s, from, count, MSG_NOSIGNAL) == (ssize_t)count ? 0 : fail(strerror(errno));
}

/* Sets for how long a socket waits; 0: the kernel, which uses it from then on, waits by rules of its own. */
static void wait_at_most(int s, int seconds)
{
	struct timeval time = {.tv_sec = seconds};

	setsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &time, sizeof time);
	setsockopt(s, SOL_SOCKET, SO_RCVTIMEO, &time, sizeof time);
}

static void notice_a_silent_server(int s)
{
	int on = 1, seconds = 2, probes = 3, silent = SILENT_MILLISECONDS;

	setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
	setsockopt(s, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof on);
	setsockopt(s, IPPROTO_TCP, TCP_KEEPIDLE, &seconds, sizeof seconds);
	setsockopt(s, IPPROTO_TCP, TCP_KEEPINTVL, &seconds, sizeof seconds);
	setsockopt(s, IPPROTO_TCP, TCP_KEEPCNT, &probes, sizeof probes);
	setsockopt(s, IPPROTO_TCP, TCP_USER_TIMEOUT, &silent, sizeof silent);
}

/* Asks for the export; its size and flags are what the server says. */
static int choose(int s, uint64_t *size, uint16_t *flags)
{
	char greeting[18], said[LONGEST_REPLY];
	uint32_t length = strlen(export.name), ours = htobe32(3); /* fixed newstyle, no zeroes */
	struct __attribute__((packed)) { char magic[8]; uint32_t option, length, name; } ask = {
		"IHAVEOPT", htobe32(OPT_GO), htobe32(length + 6), htobe32(length)};
	uint16_t no_details = 0;
	struct __attribute__((packed)) { uint64_t magic; uint32_t option, type, length; } reply;
	int found = 0;

	if (take(s, greeting, sizeof greeting))
		return -1;
	if (memcmp(greeting, "NBDMAGICIHAVEOPT", 16))
		return fail("it is no NBD server");
	if (give(s, &ours, sizeof ours) || give(s, &ask, sizeof ask) || give(s, export.name, length) ||
	    give(s, &no_details, sizeof no_details))
		return -1;
	for (int n = 0; n < MOST_REPLIES; n++) {
		if (take(s, &reply, sizeof reply))
			return -1;
		uint32_t type = be32toh(reply.type), rest = be32toh(reply.length);
		if (be64toh(reply.magic) != REPLY_MAGIC || rest > sizeof said)
			return fail("its answer cannot be read");
		if (take(s, said, rest))
			return -1;
		if (type & 1U << 31)
			return fail("it has no such image");
		if (type == REP_INFO && rest == 12 && said[0] == 0 && said[1] == INFO_EXPORT) {
			memcpy(size, said + 2, 8);
			memcpy(flags, said + 10, 2);
			*size = be64toh(*size);
			*flags = be16toh(*flags);
			found = 1;
		}
		if (type == REP_ACK)
			return found && *size >= BEGINNING ? 0 : fail("its image is empty");
	}
	return fail("it does not come to the point");
}

static int read_beginning(int s, char *into)
{
	struct __attribute__((packed)) { uint32_t magic; uint16_t flags, type; uint64_t cookie, offset; uint32_t length; }
	ask = {.magic = htobe32(0x25609513), .length = htobe32(BEGINNING)};
	struct __attribute__((packed)) { uint32_t magic, error; uint64_t cookie; } reply;

	if (give(s, &ask, sizeof ask) || take(s, &reply, sizeof reply))
		return -1;
	if (be32toh(reply.magic) != 0x67446698 || reply.error)
		return fail("it cannot read the image");
	return take(s, into, BEGINNING);
}

/* The first file is remembered, and any other is refused later. */
static int is_ours(uint64_t size, uint16_t flags, const char *beginning)
{
	if (!export.size) {
		export.size = size;
		export.flags = flags | READ_ONLY;
		memcpy(export.beginning, beginning, BEGINNING);
	}
	return size == export.size && !memcmp(beginning, export.beginning, BEGINNING);
}

/* A socket for the kernel to read from; -1 with the reason in `why`. */
static int dial(const char *host)
{
	char beginning[BEGINNING];
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(export.port)};
	uint64_t size = 0;
	uint16_t flags = 0;
	int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (s < 0)
		return fail(strerror(errno));
	wait_at_most(s, ANSWER_SECONDS);
	notice_a_silent_server(s);
	if (inet_pton(AF_INET, host, &to.sin_addr) != 1)
		fail("it is not an IPv4 address");
	else if (connect(s, (struct sockaddr *)&to, sizeof to))
		fail(errno == EINPROGRESS ? "it does not answer" : strerror(errno));
	else if (choose(s, &size, &flags) || read_beginning(s, beginning))
		;
	else if (!is_ours(size, flags, beginning))
		fail("it has another file under this name");
	else {
		wait_at_most(s, 0);
		return s;
	}
	close(s);
	return -1;
}

/* Netlink (genetlink.h): a message is a header and attributes, which can hold attributes. */
struct message {
	struct nlmsghdr head;
	struct genlmsghdr kind;
	char attributes[256];
};

static struct nlattr *put(struct message *m, int type, const void *data, int length)
{
	struct nlattr *a = (void *)((char *)m + NLMSG_ALIGN(m->head.nlmsg_len));

	a->nla_type = type;
	a->nla_len = NLA_HDRLEN + length;
	if (length)
		memcpy((char *)a + NLA_HDRLEN, data, length);
	m->head.nlmsg_len = NLMSG_ALIGN(m->head.nlmsg_len) + NLA_ALIGN(a->nla_len);
	return a;
}

static void put_number(struct message *m, int type, uint64_t value)
{
	put(m, type, &value, sizeof value);
}

static void end(struct message *m, struct nlattr *outer)
{
	outer->nla_len = (char *)m + m->head.nlmsg_len - (char *)outer;
}

static struct message begin(int family, int command)
{
	return (struct message){
		.head = {.nlmsg_len = NLMSG_LENGTH(GENL_HDRLEN), .nlmsg_type = family, .nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK},
		.kind = {.cmd = command, .version = 1}};
}

/* Sends it, and reads answers until the kernel says how it went: 0 or a negative errno. */
static int carry_out(int nl, struct message *m, int *family)
{
	char answer[8192];

	if (send(nl, m, m->head.nlmsg_len, 0) < 0)
		return -errno;
	for (;;) {
		int left = recv(nl, answer, sizeof answer, 0);
		if (left < 0)
			return -errno;
		for (struct nlmsghdr *h = (void *)answer; NLMSG_OK(h, left); h = NLMSG_NEXT(h, left)) {
			if (h->nlmsg_type == NLMSG_ERROR)
				return ((struct nlmsgerr *)NLMSG_DATA(h))->error;
			int rest = h->nlmsg_len - NLMSG_LENGTH(GENL_HDRLEN);
			struct nlattr *a = (void *)((char *)NLMSG_DATA(h) + GENL_HDRLEN);
			for (; family && rest >= NLA_HDRLEN && a->nla_len >= NLA_HDRLEN; rest -= NLA_ALIGN(a->nla_len),
			     a = (void *)((char *)a + NLA_ALIGN(a->nla_len)))
				if (a->nla_type == CTRL_ATTR_FAMILY_ID)
					*family = *(uint16_t *)((char *)a + NLA_HDRLEN);
		}
	}
}

static int family_of_nbd(int nl)
{
	struct message m = begin(GENL_ID_CTRL, CTRL_CMD_GETFAMILY);
	int family = 0;

	put(&m, CTRL_ATTR_FAMILY_NAME, NBD_GENL_FAMILY_NAME, sizeof NBD_GENL_FAMILY_NAME);
	return carry_out(nl, &m, &family) ? 0 : family;
}

/* Gives the device a socket: its first one (NBD_CMD_CONNECT), or one for that which was lost (NBD_CMD_RECONFIGURE). */
static int hand_over(int nl, int family, int command, uint32_t index, int s)
{
	struct message m = begin(family, command);

	put(&m, NBD_ATTR_INDEX, &index, sizeof index);
	if (command == NBD_CMD_CONNECT) {
		put_number(&m, NBD_ATTR_SIZE_BYTES, export.size);
		put_number(&m, NBD_ATTR_BLOCK_SIZE_BYTES, export.size % 4096 ? 512 : 4096);
		put_number(&m, NBD_ATTR_SERVER_FLAGS, export.flags);
	}
	/* Without a limit for requests those that were on their way to a lost server would never be sent again. */
	put_number(&m, NBD_ATTR_TIMEOUT, REQUEST_SECONDS);
	put_number(&m, NBD_ATTR_DEAD_CONN_TIMEOUT, FOR_EVER);
	struct nlattr *sockets = put(&m, NBD_ATTR_SOCKETS | NLA_F_NESTED, NULL, 0);
	struct nlattr *item = put(&m, NBD_SOCK_ITEM | NLA_F_NESTED, NULL, 0);
	put(&m, NBD_SOCK_FD, &s, sizeof s);
	end(&m, item);
	end(&m, sockets);
	return carry_out(nl, &m, NULL);
}

/* Nothing of what it does from here on reads the root file system, or may end. */
static void stay(char **argv)
{
	int none = open("/dev/null", O_RDWR), score = open("/proc/self/oom_score_adj", O_WRONLY);

	setsid();
	for (int n = 0; n < 3; n++)
		dup2(none, n);
	if (score < 0 || write(score, "-1000", 5) < 0 || mlockall(MCL_CURRENT | MCL_FUTURE))
		say("<4>farm: nbd-keeper may be ended or swapped out when memory is short");
	close(score);
	argv[0][0] = '@'; /* systemd ends it neither at the change of roots nor at shutdown (ROOT_STORAGE_DAEMONS) */
}

/* Returns when the kernel has given a connection up: it then shuts the socket, of which this process has a descriptor. */
static void wait_for_its_end(int s)
{
	struct pollfd end = {.fd = s, .events = POLLRDHUP};

	while (poll(&end, 1, -1) < 0 && errno == EINTR)
		;
}

/* Whether the device has taken the socket. The kernel reports success as well when it needed none, since it had not
 * noticed yet that the old one is lost; what it takes in place of another one gets its limit for requests. */
static int is_taken(int s)
{
	struct timeval limit = {0};
	socklen_t size = sizeof limit;

	return !getsockopt(s, SOL_SOCKET, SO_SNDTIMEO, &limit, &size) && limit.tv_sec;
}

/* Dials host after host, from the one at *turn on, until the device has a connection again; returns the socket. */
static int reconnect(int nl, int family, uint32_t index, char **hosts, int count, int *turn)
{
	for (int round = 0;; round++) {
		const char *host = hosts[*turn];
		int s = dial(host);
		int refused = s < 0 ? 0 : hand_over(nl, family, NBD_CMD_RECONFIGURE, index, s);
		if (s >= 0 && !refused && is_taken(s))
			return s;
		if (round % ATTEMPTS_A_REMARK == count)
			say("<4>farm: NBD server %s: %s; reads of the root wait", host, refused ? strerror(-refused) : s < 0 ? why : "not needed");
		close(s);
		if (s < 0)
			*turn = (*turn + 1) % count;
		if (*turn == 0 || s >= 0)
			poll(NULL, 0, PAUSE_MILLISECONDS);
	}
}

int main(int argc, char **argv)
{
	if (argc < 5) {
		fprintf(stderr, "usage: nbd-keeper INDEX PORT EXPORT HOST...\n");
		return 2;
	}
	uint32_t index = atoi(argv[1]);
	char **hosts = argv + 4;
	int count = argc - 4, turn = 0, s = -1;
	int nl = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_GENERIC), family = nl < 0 ? 0 : family_of_nbd(nl);

	kmsg = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);
	export.port = atoi(argv[2]);
	export.name = argv[3];
	if (!family) {
		fprintf(stderr, "the kernel has no NBD: is the module nbd loaded?\n");
		return 1;
	}
	for (; (s = dial(hosts[turn])) < 0; turn++) {
		fprintf(stderr, "%s: %s. ", hosts[turn], why);
		if (turn + 1 == count)
			return 1;
	}
	int refused = hand_over(nl, family, NBD_CMD_CONNECT, index, s);
	if (refused) {
		fprintf(stderr, "/dev/nbd%u: %s\n", index, strerror(-refused));
		return 1;
	}
	pid_t child = fork();
	if (child)
		return child < 0;
	stay(argv);
	for (;;) {
		wait_for_its_end(s);
		say("<4>farm: NBD server %s is lost", hosts[turn]);
		shutdown(s, SHUT_RDWR); /* the kernel, which waits for an answer by it, notices at once */
		close(s);
		turn = (turn + 1) % count;
		s = reconnect(nl, family, index, hosts, count, &turn);
		say("<4>farm: NBD server %s serves the root", hosts[turn]);
	}
}
