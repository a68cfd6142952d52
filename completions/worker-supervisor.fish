function __fish_worker-supervisor_using_command
    set -l cmd (commandline -opc)
    set -e cmd[1]
    set -l target_cmd $argv

    set -l known_value_flags 'config' 'lines' 'n'

    set -l i 1
    set -l cleaned_cmd
    while test $i -le (count $cmd)
        set -l arg $cmd[$i]
        if string match -q -- "-*" $arg
            set -l pure_flag (string replace -r '^--?' '' -- $arg)
            if contains -- $pure_flag $known_value_flags
                set -l next_i (math $i + 1)
                if test $next_i -le (count $cmd)
                    if not string match -q -- "-*" $cmd[$next_i]
                        set i $next_i
                    end
                end
            end
        else
            set -a cleaned_cmd $arg
        end
        set i (math $i + 1)
    end

    set -l count_cleaned (count $cleaned_cmd)
    set -l count_target (count $target_cmd)

    if test $count_cleaned -ne $count_target
        return 1
    end

    for i in (seq $count_target)
        if test $cleaned_cmd[$i] != $target_cmd[$i]
            return 1
        end
    end

    return 0
end

complete -c worker-supervisor -n '__fish_worker-supervisor_using_command' -f -l help -d 'display usage information'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command' -F -l config -r -d 'the config file (default: ~/.config/worker-supervisor.toml)'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command' -f -l dry-run -d 'print the effective config and every problem, and change nothing'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command' -f -l verbose -s v -d 'log at debug level'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command' -f -l version -s V -d 'print the version'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command' -f -a 'status' -d 'Say how the worker is; exit 0 if healthy, 1 if not, 3 if no supervisor runs.'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command' -f -a 'restart' -d 'Restart the worker gracefully and wait until it is healthy; exit 0 if it is, 1 if not, 3 if no supervisor runs.'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command' -f -a 'logs' -d 'Show both logs of the worker.'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command' -f -a 'launchd' -d 'Print, install or uninstall the launchd job of this config.'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command' -f -a 'init' -d 'Write a config for the program in this directory, as far as its files tell how it is run.'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command status' -f -l help -d 'display usage information'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command status' -F -l config -r -d 'the config file'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command status' -f -l json -d 'print the status file as it is'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command status' -f -l prometheus -d 'print metrics in the text format of Prometheus; exit 0 once they are printed'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command status' -f -l watch -d 'go on showing it as it changes, until Ctrl-C'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command restart' -f -l help -d 'display usage information'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command restart' -F -l config -r -d 'the config file'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command logs' -f -l help -d 'display usage information'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command logs' -F -l config -r -d 'the config file'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command logs' -f -l follow -s f -d 'go on showing what is appended'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command logs' -f -l lines -s n -r -d 'how many lines of each log to start with (default: 10)'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command launchd' -l help -d 'display usage information'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command launchd' -l config -r -d 'the config file'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command launchd' -f -a 'print' -d 'print its property list'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command launchd' -f -a 'install' -d 'write the property list and load the job'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command launchd' -f -a 'uninstall' -d 'unload the job and remove the property list'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command launchd print' -f -l help -d 'display usage information'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command launchd print' -F -l config -r -d 'the config file'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command launchd install' -f -l help -d 'display usage information'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command launchd install' -F -l config -r -d 'the config file'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command launchd uninstall' -f -l help -d 'display usage information'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command launchd uninstall' -F -l config -r -d 'the config file'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command init' -l help -d 'display usage information'
complete -c worker-supervisor -n '__fish_worker-supervisor_using_command init' -l config -r -d 'the config file'
