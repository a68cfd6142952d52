_worker-supervisor() {
    local i cur prev opts cmds
    COMPREPLY=()
    cur="${COMP_WORDS[COMP_CWORD]}"
    if [[ $COMP_CWORD -ge 1 ]]; then
        prev="${COMP_WORDS[COMP_CWORD-1]}"
    else
        prev=""
    fi
    cmd=""
    opts=""

    for i in ${COMP_WORDS[@]}; do
        case "${i}" in
            worker-supervisor | */worker-supervisor)
                cmd="worker-supervisor"
                ;;
            status)
                cmd="worker-supervisor_status"
                ;;
            restart)
                cmd="worker-supervisor_restart"
                ;;
            logs)
                cmd="worker-supervisor_logs"
                ;;
            launchd)
                cmd="worker-supervisor_launchd"
                ;;
            print)
                cmd="worker-supervisor_launchd_print"
                ;;
            install)
                cmd="worker-supervisor_launchd_install"
                ;;
            uninstall)
                cmd="worker-supervisor_launchd_uninstall"
                ;;
            init)
                cmd="worker-supervisor_init"
                ;;
        esac
    done

    case "${cmd}" in
        worker-supervisor)
            opts="--help --config --dry-run --verbose -v --version -V"
            cmds="status restart logs launchd init"
            case "${prev}" in
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        worker-supervisor_status)
            opts="--help --config --json --prometheus --watch"
            case "${prev}" in
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        worker-supervisor_restart)
            opts="--help --config"
            case "${prev}" in
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        worker-supervisor_logs)
            opts="--help --config --follow -f --lines -n"
            case "${prev}" in
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                --lines | -n)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        worker-supervisor_launchd)
            opts="--help --config"
            cmds="print install uninstall"
            case "${prev}" in
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        worker-supervisor_launchd_print)
            opts="--help --config"
            case "${prev}" in
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        worker-supervisor_launchd_install)
            opts="--help --config"
            case "${prev}" in
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        worker-supervisor_launchd_uninstall)
            opts="--help --config"
            case "${prev}" in
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
        worker-supervisor_init)
            opts="--help --config"
            case "${prev}" in
                --config)
                    COMPREPLY=()
                    return 0
                    ;;
                *)
                    COMPREPLY=( $(compgen -W "${opts} ${cmds}" -- "${cur}") )
                    return 0
                    ;;
            esac
            ;;
    esac
}

complete -F _worker-supervisor -o bashdefault -o default worker-supervisor
