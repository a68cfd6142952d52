/*
 * The least that can restart a program: start it, wait for its end, start it again.
 *
 * What every contender is measured against. `bare vfork PROGRAM` or `bare spawn PROGRAM`, with the environment as it
 * is. No group, no logs, no signals, no checks: it is a floor, not a supervisor. `bare session PROGRAM` is vfork with
 * a session for the program, without which nobody can find what the program has started.
 */
#define _DEFAULT_SOURCE
#define _DARWIN_C_SOURCE
#include <spawn.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int main(int count, char **arguments)
{
    if (count != 3)
        return 2;
    int in_session = strcmp(arguments[1], "session") == 0;
    int by_vfork = in_session || strcmp(arguments[1], "vfork") == 0;
    char *program = arguments[2], *worker_arguments[] = {program, NULL};
    for (;;) {
        pid_t pid;
        int status;
        if (by_vfork) {
            pid = vfork();
            if (pid == 0) {
                if (in_session)
                    setsid();
                execve(program, worker_arguments, environ);
                _exit(127);
            }
        } else if (posix_spawn(&pid, program, NULL, NULL, worker_arguments, environ) != 0) {
            return 1;
        }
        if (pid < 0 || waitpid(pid, &status, 0) != pid)
            return 1;
        if (WIFEXITED(status) && WEXITSTATUS(status) != 0)
            return WEXITSTATUS(status);
    }
}
