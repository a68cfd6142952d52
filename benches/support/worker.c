/*
 * The worker of all contenders: its first act is to look at the clock, its second to write down what it saw.
 *
 * In C, since between a restart and the first line of main nothing should stand but the kernel and the dynamic linker.
 * Takes what it needs from the environment, so that a peer can use it as its run file, without a shell in between:
 * BENCH_RECORD (the file to append to), BENCH_PORT and, if set, BENCH_READY_FD (told when it listens, as s6 wants it),
 * BENCH_DELAY_MS_MAX (it listens after a time between nothing and this), BENCH_DESCRIPTORS (so many are open besides)
 * and BENCH_TREE (so many processes descend from it, children and theirs). It listens once all of that is there. Each line of the record is a letter, the
 * pid, and CLOCK_MONOTONIC in nanoseconds: B began, L listens, G and P were asked by GET and PUT.
 */
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* A child of the worker and its own children. */
enum { BRANCH = 10 };

static int record;

static unsigned long long now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (unsigned long long)time.tv_sec * 1000000000ULL + (unsigned long long)time.tv_nsec;
}

static void note(char what, unsigned long long at)
{
    char line[64];
    int length = snprintf(line, sizeof line, "%c %ld %llu\n", what, (long)getpid(), at);
    if (write(record, line, (size_t)length) != length)
        exit(1);
}

static int listen_on(int port)
{
    struct sockaddr_in address;
    int yes = 1, listener = socket(AF_INET, SOCK_STREAM, 0);
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_port = htons((unsigned short)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 16) != 0)
        exit(2);
    return listener;
}

static void open_descriptors(int wanted)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        exit(4);
    for (int opened = 0; opened < wanted; opened++)
        if (open("/dev/null", O_RDONLY) < 0)
            exit(4);
}

/* Each child says by a byte that all of its branch is there. */
static void grow(int processes)
{
    int grown[2], branches = 0;
    char byte;
    if (pipe(grown) != 0)
        exit(5);
    for (int first = 0; first < processes; first += BRANCH, branches++) {
        if (fork() != 0)
            continue;
        for (int other = first + 1; other < processes && other < first + BRANCH; other++)
            if (fork() == 0)
                for (;;)
                    pause();
        if (write(grown[1], "", 1) == 1)
            for (;;)
                pause();
        _exit(5);
    }
    while (branches-- > 0)
        if (read(grown[0], &byte, 1) != 1)
            exit(5);
    close(grown[0]);
    close(grown[1]);
}

int main(void)
{
    unsigned long long began_at = now();
    static const char answer[] = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok";
    const char *path = getenv("BENCH_RECORD"), *port = getenv("BENCH_PORT"), *ready_fd = getenv("BENCH_READY_FD");
    const char *delay_ms_max = getenv("BENCH_DELAY_MS_MAX"), *descriptors = getenv("BENCH_DESCRIPTORS");
    const char *tree = getenv("BENCH_TREE");
    if (path == NULL || port == NULL)
        return 3;
    record = open(path, O_WRONLY | O_APPEND | O_CREAT, 0600);
    note('B', began_at);
    if (delay_ms_max != NULL)
        usleep((unsigned)(began_at / 1000 % (unsigned long long)(atoi(delay_ms_max) * 1000)));
    if (descriptors != NULL)
        open_descriptors(atoi(descriptors));
    if (tree != NULL)
        grow(atoi(tree));
    int listener = listen_on(atoi(port));
    note('L', now());
    if (ready_fd != NULL && write(atoi(ready_fd), "\n", 1) == 1)
        close(atoi(ready_fd));
    for (;;) {
        char request[2048];
        int client = accept(listener, NULL, NULL);
        if (client < 0)
            continue;
        if (read(client, request, sizeof request) > 0) {
            note(request[0], now());
            if (write(client, answer, sizeof answer - 1) < 0)
                note('E', now());
        }
        close(client);
    }
}
