/* What one node gets from its root's device; static, since it runs in an initrd.
   node_reads sequential|random MEGABYTES DEVICE: empties the page cache, reads, and prints "read SECONDS WORKED".
   node_reads stand SECONDS DEVICE: reads piece after piece for so long, or until it has gone on after a pause, and prints
   "stood SECONDS", the longest time that one piece took.
   WORKED: seconds that all processors worked meanwhile, kernel threads included (/proc/stat). */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <linux/fs.h>
#include <time.h>
#include <unistd.h>

enum { SEQUENTIAL = 1 << 20, RANDOM = 16 << 10, PIECE = 64 << 10 };

static const double PAUSE = 0.3, AFTERWARDS = 8.0; /* seconds: what counts as a pause, and is read at least for */

static char buffer[SEQUENTIAL];
static uint64_t size;
static int device;

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double worked(void) {
	unsigned long long user, nice, system, idle, wait, irq, softirq;
	FILE *stat = fopen("/proc/stat", "r");
	if (!stat || fscanf(stat, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle, &wait, &irq, &softirq) != 7)
		exit(1);
	fclose(stat);
	return (double)(user + nice + system + irq + softirq) / (double)sysconf(_SC_CLK_TCK);
}

static void read_at(uint64_t offset, size_t length) {
	if (pread(device, buffer, length, (off_t)offset) != (ssize_t)length) {
		perror("node_reads");
		exit(1);
	}
}

static uint64_t anywhere(size_t length) {
	return (((uint64_t)random() << 31 | (uint64_t)random()) % (size / length)) * length;
}

static void empty_cache(void) {
	int file = open("/proc/sys/vm/drop_caches", O_WRONLY);
	if (write(file, "3\n", 2) != 2) exit(1);
	close(file);
}

static void measure(int at_random, uint64_t bytes) {
	size_t length = at_random ? RANDOM : SEQUENTIAL;
	if (at_random) posix_fadvise(device, 0, 0, POSIX_FADV_RANDOM);
	empty_cache();
	double began = now(), before = worked();
	for (uint64_t done = 0; done < bytes; done += length) read_at(at_random ? anywhere(length) : done, length);
	printf("read %.3f %.2f\n", now() - began, worked() - before);
}

static void stand(double seconds) {
	posix_fadvise(device, 0, 0, POSIX_FADV_RANDOM);
	double began = now(), longest = 0;
	while (now() < began + seconds && (longest < PAUSE || now() < began + AFTERWARDS)) {
		uint64_t offset = anywhere(PIECE);
		double asked = now();
		read_at(offset, PIECE);
		if (now() - asked > longest) longest = now() - asked;
		posix_fadvise(device, (off_t)offset, PIECE, POSIX_FADV_DONTNEED);
	}
	printf("stood %.2f\n", longest);
}

int main(int argc, char **argv) {
	if (argc != 4 || (device = open(argv[3], O_RDONLY)) < 0 || ioctl(device, BLKGETSIZE64, &size)) {
		perror("node_reads");
		return 2;
	}
	if (!strcmp(argv[1], "stand")) stand(atof(argv[2]));
	else measure(!strcmp(argv[1], "random"), strtoull(argv[2], 0, 10) << 20);
	return 0;
}
