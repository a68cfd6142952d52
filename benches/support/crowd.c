/*
 * A crowd that is only there: `crowd PROCESSES SOCKETS BUSY`, made by fork, without exec.
 *
 * So many processes that wait for ever, TCP sockets spread over the first of them (connections to itself over the
 * loopback, a listener each), and processes that compute for ever. Says `ready` in one line, or why it can't be. Ends
 * with all of it when its standard input does, which is also when whoever started it is gone.
 */
#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

/* Sockets of one process; fewer where there are fewer processes than that takes. */
enum { SOCKETS_EACH = 1000 };

static pid_t *members;
static int count;

static void leave(void)
{
    for (int i = 0; i < count; i++)
        kill(members[i], SIGKILL);
    while (wait(NULL) > 0 || errno == EINTR)
        ;
}

static void fail(const char *what)
{
    printf("%s: %s\n", what, strerror(errno));
    fflush(stdout);
    leave();
    exit(1);
}

/* As many descriptors as it takes. */
static void allow_descriptors(int wanted)
{
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    if (limit.rlim_cur >= (rlim_t)wanted)
        return;
    limit.rlim_cur = (rlim_t)wanted;
    if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
        fail("cannot raise the limit of open files");
}

/* One that leaves nothing behind when it is closed, not even TIME_WAIT. */
static int new_socket(void)
{
    struct linger linger = {1, 0};
    int made = socket(AF_INET, SOCK_STREAM, 0);
    if (made < 0 || setsockopt(made, SOL_SOCKET, SO_LINGER, &linger, sizeof linger) != 0)
        fail("cannot make a socket");
    return made;
}

/* A listener on a port of the kernel's choice, and connections to it: so many sockets in all. */
static void hold_sockets(int sockets)
{
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    int listener = new_socket();
    memset(&address, 0, sizeof address);
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) != 0 || listen(listener, 16) != 0
        || getsockname(listener, (struct sockaddr *)&address, &length) != 0)
        fail("cannot listen");
    for (int held = 1; held + 2 <= sockets; held += 2) {
        if (connect(new_socket(), (struct sockaddr *)&address, sizeof address) != 0)
            fail("cannot connect");
        if (accept(listener, NULL, NULL) < 0)
            fail("cannot accept");
    }
}

/* A child that does as it is told and never returns. It tells by a byte that it is there. */
static void add(int sockets, int is_busy, int told)
{
    pid_t pid = fork();
    if (pid < 0)
        fail("cannot fork");
    if (pid > 0) {
        members[count++] = pid;
        return;
    }
    count = 0;
#ifdef __linux__
    prctl(PR_SET_PDEATHSIG, SIGKILL);
#endif
    close(STDIN_FILENO);
    if (sockets > 0)
        hold_sockets(sockets);
    if (write(told, "", 1) != 1)
        _exit(1);
    close(told);
    for (volatile unsigned long work = 0;;) {
        if (is_busy)
            work++;
        else
            pause();
    }
}

int main(int arguments, char **argument)
{
    if (arguments != 4)
        return 2;
    int idle = atoi(argument[1]), sockets = atoi(argument[2]), busy = atoi(argument[3]), told[2];
    int each = idle > 0 ? (sockets + idle - 1) / idle : 0;
    if (each < SOCKETS_EACH)
        each = SOCKETS_EACH;
    char byte;
    members = calloc((size_t)(idle + busy) + 1, sizeof *members);
    if (members == NULL || pipe(told) != 0)
        fail("cannot begin");
    if (sockets > 0)
        allow_descriptors(each + 16);
    for (int i = 0; i < idle; i++) {
        int share = sockets < each ? sockets : each;
        sockets -= share;
        add(share, 0, told[1]);
    }
    for (int i = 0; i < busy; i++)
        add(0, 1, told[1]);
    close(told[1]);
    for (int i = 0; i < count; i++)
        if (read(told[0], &byte, 1) != 1) {
            leave();
            return 1;
        }
    printf("ready\n");
    fflush(stdout);
    while (read(STDIN_FILENO, &byte, 1) > 0)
        ;
    leave();
    return 0;
}
