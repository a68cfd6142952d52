/*
 * What a process uses, on macOS: `usage PID` prints one `name value` a line. Sizes are KiB, times milliseconds since
 * its start. libproc tells it to the same user without privileges.
 */
#include <libproc.h>
#include <mach/mach_time.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

int main(int count, char **arguments)
{
    struct rusage_info_v4 usage;
    struct proc_taskinfo task;
    static struct proc_fdinfo descriptors[4096];
    mach_timebase_info_data_t timebase;
    pid_t pid = count == 2 ? atoi(arguments[1]) : 0;
    if (pid <= 0 || proc_pid_rusage(pid, RUSAGE_INFO_V4, (rusage_info_t *)&usage) != 0)
        return 1;
    if (proc_pidinfo(pid, PROC_PIDTASKINFO, 0, &task, sizeof task) != (int)sizeof task)
        return 1;
    int bytes = proc_pidinfo(pid, PROC_PIDLISTFDS, 0, descriptors, sizeof descriptors);
    mach_timebase_info(&timebase);
    double ticks = (double)(usage.ri_user_time + usage.ri_system_time);
    printf("resident_kib %.1f\n", (double)usage.ri_resident_size / 1024);
    printf("footprint_kib %.1f\n", (double)usage.ri_phys_footprint / 1024);
    printf("threads %d\n", task.pti_threadnum);
    printf("descriptors %d\n", bytes / (int)sizeof descriptors[0]);
    printf("switches %d\n", task.pti_csw);
    printf("wakeups %llu\n", (unsigned long long)(usage.ri_pkg_idle_wkups + usage.ri_interrupt_wkups));
    printf("cpu_ms %.3f\n", ticks * timebase.numer / timebase.denom / 1e6);
    return 0;
}
