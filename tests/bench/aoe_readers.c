/* Many AoE initiators in one process, for the fairness of one target: each has a MAC of its own and keeps a number of
   reads outstanding. Prints a line per reader: bytes read, frames sent again.
   Usage: aoe_readers INTERFACE TARGET-MAC SHELF SLOT READERS OUTSTANDING SECTORS-PER-FRAME SECTORS-ON-TARGET SECONDS */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_packet.h>
#include <net/ethernet.h>
#include <net/if.h>
#include <poll.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { AOE = 0x88a2, HEADER = 36, MAX_READERS = 256, MAX_OUTSTANDING = 64, BATCH = 64, FRAME = 9100 };

static const double RETRY = 0.3; /* seconds until a read is sent again; the kernel's initiator starts in this range */

struct slot { uint16_t generation; uint64_t lba; double sent; };
struct reader { struct slot slots[MAX_OUTSTANDING]; uint64_t next, bytes, resent; };

static struct reader readers[MAX_READERS];
static uint8_t target[6];
static int sock, shelf, minor_number, per_frame;

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void send_read(int r, int s) {
	struct slot *slot = &readers[r].slots[s];
	uint8_t f[64] = {0};
	uint32_t tag = htonl((uint32_t)r << 24 | (uint32_t)s << 16 | slot->generation);
	memcpy(f, target, 6);
	f[6] = 2; f[11] = (uint8_t)r;
	f[12] = AOE >> 8; f[13] = AOE & 255;
	f[14] = 0x10;
	f[16] = (uint8_t)(shelf >> 8); f[17] = (uint8_t)shelf; f[18] = (uint8_t)minor_number;
	memcpy(f + 20, &tag, 4);
	f[24] = 0x40; f[26] = (uint8_t)per_frame; f[27] = 0x24; /* 48-bit addresses, READ SECTORS EXT */
	for (int i = 0; i < 6; i++) f[28 + i] = (uint8_t)(slot->lba >> (8 * i));
	slot->sent = now();
	(void)!send(sock, f, 60, 0); /* a full queue is a lost frame: it is sent again */
}

static void next_read(int r, int s, uint64_t sectors) {
	struct reader *reader = &readers[r];
	reader->slots[s].generation++;
	reader->slots[s].lba = reader->next;
	reader->next += (uint64_t)per_frame;
	if (reader->next + (uint64_t)per_frame > sectors) reader->next = 0;
	send_read(r, s);
}

int main(int argc, char **argv) {
	if (argc != 10 || sscanf(argv[2], "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx", target, target + 1, target + 2, target + 3, target + 4, target + 5) != 6)
		return 2;
	shelf = atoi(argv[3]); minor_number = atoi(argv[4]); per_frame = atoi(argv[7]);
	int count = atoi(argv[5]), outstanding = atoi(argv[6]), room = 256 << 20;
	uint64_t sectors = strtoull(argv[8], 0, 10);
	struct sockaddr_ll at = {.sll_family = AF_PACKET, .sll_protocol = htons(AOE), .sll_ifindex = (int)if_nametoindex(argv[1])};
	sock = socket(AF_PACKET, SOCK_RAW, htons(AOE));
	if (count > MAX_READERS || outstanding > MAX_OUTSTANDING || sock < 0 || bind(sock, (struct sockaddr *)&at, sizeof at)) {
		perror(argv[1]);
		return 1;
	}
	setsockopt(sock, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof room);

	for (int r = 0; r < count; r++) {
		readers[r].next = sectors / (uint64_t)count * (uint64_t)r;
		for (int s = 0; s < outstanding; s++) next_read(r, s, sectors);
	}
	static uint8_t frames[BATCH][FRAME];
	struct iovec vectors[BATCH];
	struct mmsghdr messages[BATCH] = {0};
	for (int i = 0; i < BATCH; i++) {
		vectors[i] = (struct iovec){frames[i], FRAME};
		messages[i].msg_hdr.msg_iov = &vectors[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	double end = now() + atof(argv[9]), scan = now() + RETRY / 2;
	while (now() < end) {
		struct pollfd wait = {sock, POLLIN, 0};
		poll(&wait, 1, 50);
		int got = recvmmsg(sock, messages, BATCH, MSG_DONTWAIT, 0);
		for (int i = 0; i < got; i++) {
			uint8_t *f = frames[i];
			if (messages[i].msg_len < HEADER || !(f[14] & 8) || f[14] & 4) continue;
			int r = f[20], s = f[21];
			if (r >= count || s >= outstanding || (f[22] << 8 | f[23]) != readers[r].slots[s].generation) continue;
			readers[r].bytes += (uint64_t)per_frame * 512;
			next_read(r, s, sectors);
		}
		if (now() > scan) {
			scan = now() + RETRY / 2;
			for (int r = 0; r < count; r++)
				for (int s = 0; s < outstanding; s++)
					if (scan - readers[r].slots[s].sent > RETRY * 1.5) {
						readers[r].resent++;
						send_read(r, s);
					}
		}
	}
	for (int r = 0; r < count; r++) printf("%llu %llu\n", (unsigned long long)readers[r].bytes, (unsigned long long)readers[r].resent);
	return 0;
}
