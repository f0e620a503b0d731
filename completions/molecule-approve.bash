# bash completion for molecule-approve, made by `make completions`. Words only: nothing here is ever evaluated.

# What may stand behind a command: its subcommands, its options, those of them that want a value, a file's name, or one of
# a few words, and its argument. Fails where there is no such command.
_molecule_approve_table() {
    subcommands='' flags='' valued='' paths='' choices='' asked='' wants=''
    case $1 in
        '')
            subcommands='request run wait status withdraw pending review approve deny receipt requests approvers requesters workspaces policy hook audit serve mcp doctor help'
            flags='--version -h --help'
            ;;
        'request')
            flags='--reason --context --idempotency-key --expires-in --id-file --timeout --transport --poll-interval --result-file --json --quiet -q --require-verified-approver --strict --keep-env --config --platform-url --workspace-id --audit-log --for --no-wait -h --help'
            valued='--reason --context --idempotency-key --expires-in --id-file --timeout --transport --poll-interval --result-file --keep-env --config --platform-url --workspace-id --audit-log'
            paths='--id-file --result-file --config --audit-log'
            choices='--transport=auto --transport=websocket --transport=poll'
            wants=text
            ;;
        'run')
            flags='--reason --context --idempotency-key --expires-in --id-file --timeout --transport --poll-interval --result-file --json --quiet -q --require-verified-approver --strict --keep-env --config --platform-url --workspace-id --audit-log --show --exec --approval -h --help'
            valued='--reason --context --idempotency-key --expires-in --id-file --timeout --transport --poll-interval --result-file --keep-env --config --platform-url --workspace-id --audit-log --approval'
            paths='--id-file --result-file --config --audit-log'
            choices='--transport=auto --transport=websocket --transport=poll'
            asked='--approval=wait'
            wants=command
            ;;
        'wait')
            flags='--timeout --transport --poll-interval --result-file --json --quiet -q --require-verified-approver --config --platform-url --workspace-id --audit-log --action --withdraw -h --help'
            valued='--timeout --transport --poll-interval --result-file --config --platform-url --workspace-id --audit-log --action'
            paths='--result-file --config --audit-log'
            choices='--transport=auto --transport=websocket --transport=poll'
            wants=ids
            ;;
        'status')
            flags='--config --platform-url --workspace-id --audit-log --limit --json -h --help'
            valued='--config --platform-url --workspace-id --audit-log --limit'
            paths='--config --audit-log'
            wants=ids
            ;;
        'withdraw')
            flags='--config --platform-url --workspace-id --audit-log --id-file -h --help'
            valued='--config --platform-url --workspace-id --audit-log --id-file'
            paths='--config --audit-log --id-file'
            wants=ids
            ;;
        'pending')
            flags='--config --platform-url --workspace-id --audit-log --watch --json -h --help'
            valued='--config --platform-url --workspace-id --audit-log'
            paths='--config --audit-log'
            ;;
        'review')
            flags='--config --platform-url --workspace-id --audit-log --sign -h --help'
            valued='--config --platform-url --workspace-id --audit-log --sign'
            paths='--config --audit-log --sign'
            ;;
        'approve')
            flags='--comment --yes --sign --config --platform-url --workspace-id --audit-log --retract -h --help'
            valued='--comment --sign --config --platform-url --workspace-id --audit-log'
            paths='--sign --config --audit-log'
            wants=ids
            ;;
        'deny')
            flags='--comment --yes --sign --config --platform-url --workspace-id --audit-log -h --help'
            valued='--comment --sign --config --platform-url --workspace-id --audit-log'
            paths='--sign --config --audit-log'
            wants=ids
            ;;
        'receipt')
            subcommands='show verify'
            flags='-h --help'
            ;;
        'receipt show')
            flags='--config --platform-url --workspace-id --audit-log --output -o -h --help'
            valued='--config --platform-url --workspace-id --audit-log --output -o'
            paths='--config --audit-log --output -o'
            wants=ids
            ;;
        'receipt verify')
            flags='--approvers --json -h --help'
            valued='--approvers'
            paths='--approvers'
            wants=file
            ;;
        'requests')
            subcommands='import'
            flags='-h --help'
            ;;
        'requests import')
            flags='--database --config -h --help'
            valued='--database --config'
            ;;
        'approvers')
            subcommands='add list limit link revoke keys'
            flags='-h --help'
            ;;
        'approvers add')
            flags='--workspace --config -h --help'
            valued='--workspace --config'
            paths='--config'
            asked='--workspace=workspaces'
            wants=text
            ;;
        'approvers list')
            flags='--json --config -h --help'
            valued='--config'
            paths='--config'
            ;;
        'approvers limit')
            flags='--workspace --all-workspaces --config -h --help'
            valued='--workspace --config'
            paths='--config'
            asked='--workspace=workspaces'
            wants=approvers
            ;;
        'approvers link')
            flags='--platform-url --config -h --help'
            valued='--platform-url --config'
            paths='--config'
            wants=approvers
            ;;
        'approvers revoke')
            flags='--config -h --help'
            valued='--config'
            paths='--config'
            wants=approvers
            ;;
        'approvers keys')
            subcommands='add list remove'
            flags='-h --help'
            ;;
        'approvers keys add')
            flags='--ssh --passkey --label --sign --platform-url --config -h --help'
            valued='--ssh --label --sign --platform-url --config'
            paths='--ssh --sign --config'
            wants=approvers
            ;;
        'approvers keys list')
            flags='--json --export --mine --platform-url --config -h --help'
            valued='--platform-url --config'
            paths='--config'
            wants=approvers
            ;;
        'approvers keys remove')
            flags='--mine --platform-url --config -h --help'
            valued='--platform-url --config'
            paths='--config'
            wants=text
            ;;
        'requesters')
            subcommands='add list revoke'
            flags='-h --help'
            ;;
        'requesters add')
            flags='--workspace --config -h --help'
            valued='--workspace --config'
            paths='--config'
            asked='--workspace=workspaces'
            wants=text
            ;;
        'requesters list')
            flags='--workspace --json --config -h --help'
            valued='--workspace --config'
            paths='--config'
            asked='--workspace=workspaces'
            ;;
        'requesters revoke')
            flags='--workspace --config -h --help'
            valued='--workspace --config'
            paths='--config'
            asked='--workspace=workspaces'
            wants=requesters
            ;;
        'workspaces')
            subcommands='add list remove'
            flags='-h --help'
            ;;
        'workspaces add')
            flags='--config -h --help'
            valued='--config'
            paths='--config'
            wants=text
            ;;
        'workspaces list')
            flags='--json --config -h --help'
            valued='--config'
            paths='--config'
            ;;
        'workspaces remove')
            flags='--config -h --help'
            valued='--config'
            paths='--config'
            wants=workspaces
            ;;
        'policy')
            subcommands='check explain test diff'
            flags='-h --help'
            ;;
        'policy check')
            flags='--json --config -h --help'
            valued='--config'
            paths='--config'
            wants=file
            ;;
        'policy explain')
            flags='--as --workspace --context --run --policy --json --config -h --help'
            valued='--as --workspace --context --policy --config'
            paths='--config'
            asked='--workspace=workspaces'
            wants=text
            ;;
        'policy test')
            flags='--json -h --help'
            wants=text
            ;;
        'policy diff')
            flags='--json -h --help'
            wants=text
            ;;
        'hook')
            subcommands='install uninstall status test claude-code codex gemini cursor copilot'
            flags='-h --help'
            ;;
        'hook install')
            flags='--config --platform-url --workspace-id --audit-log --user --project --matcher --print --yes -h --help'
            valued='--config --platform-url --workspace-id --audit-log --matcher'
            paths='--config --audit-log'
            wants=text
            ;;
        'hook uninstall')
            flags='--user --project -h --help'
            wants=text
            ;;
        'hook status')
            flags='--json -h --help'
            ;;
        'hook test')
            flags='-h --help'
            wants=text
            ;;
        'hook claude-code')
            flags='--config --platform-url --workspace-id --audit-log --limit --answer -h --help'
            valued='--config --platform-url --workspace-id --audit-log --limit --answer'
            paths='--config --audit-log'
            choices='--answer=allow --answer=none'
            ;;
        'hook codex')
            flags='--config --platform-url --workspace-id --audit-log --limit -h --help'
            valued='--config --platform-url --workspace-id --audit-log --limit'
            paths='--config --audit-log'
            ;;
        'hook gemini')
            flags='--config --platform-url --workspace-id --audit-log --limit -h --help'
            valued='--config --platform-url --workspace-id --audit-log --limit'
            paths='--config --audit-log'
            ;;
        'hook cursor')
            flags='--config --platform-url --workspace-id --audit-log --limit -h --help'
            valued='--config --platform-url --workspace-id --audit-log --limit'
            paths='--config --audit-log'
            ;;
        'hook copilot')
            flags='--config --platform-url --workspace-id --audit-log --limit -h --help'
            valued='--config --platform-url --workspace-id --audit-log --limit'
            paths='--config --audit-log'
            ;;
        'audit')
            subcommands='tail verify show stats export rotate init'
            flags='-h --help'
            ;;
        'audit tail')
            flags='-n --lines -f --follow --outcome --event-type --actor --trace --since --json --config --audit-log -h --help'
            valued='-n --lines --outcome --event-type --actor --trace --since --config --audit-log'
            paths='--config --audit-log'
            choices='--outcome=granted --outcome=denied --outcome=timeout --outcome=withdrawn --outcome=failure --outcome=initiated --outcome=requested --outcome=resumed --outcome=observed --outcome=started --outcome=finished --outcome=refused --event-type=approval --event-type=rbac --event-type=audit'
            ;;
        'audit verify')
            flags='--expect --from --seal-key-file --against-platform --json --config --platform-url --workspace-id --audit-log -h --help'
            valued='--expect --from --seal-key-file --config --platform-url --workspace-id --audit-log'
            paths='--seal-key-file --config --audit-log'
            wants=file
            ;;
        'audit show')
            flags='--json --config --audit-log -h --help'
            valued='--config --audit-log'
            paths='--config --audit-log'
            wants=text
            ;;
        'audit stats')
            flags='--since --until --json --config --audit-log -h --help'
            valued='--since --until --config --audit-log'
            paths='--config --audit-log'
            ;;
        'audit export')
            flags='--output -o --complete --config --audit-log -h --help'
            valued='--output -o --config --audit-log'
            paths='--output -o --config --audit-log'
            wants=text
            ;;
        'audit rotate')
            flags='--config --audit-log -h --help'
            valued='--config --audit-log'
            paths='--config --audit-log'
            ;;
        'audit init')
            flags='--seal --new-key --config --audit-log -h --help'
            valued='--config --audit-log'
            paths='--config --audit-log'
            ;;
        'serve')
            flags='--config --host --port --public-url --tls-cert --tls-key --trusted-proxy --plain-http --database --policy --open --anonymous-requests --log-format -h --help'
            valued='--config --host --port --public-url --tls-cert --tls-key --trusted-proxy --database --policy --log-format'
            paths='--config'
            ;;
        'mcp')
            flags='--config --platform-url --workspace-id --audit-log --timeout --require-verified-approver -h --help'
            valued='--config --platform-url --workspace-id --audit-log --timeout'
            paths='--config --audit-log'
            ;;
        'doctor')
            flags='--config --platform-url --workspace-id --audit-log --ask --timeout --json -h --help'
            valued='--config --platform-url --workspace-id --audit-log --timeout'
            paths='--config --audit-log'
            ;;
        'help')
            flags='-h --help'
            wants=text
            ;;
        *)
            return 1
            ;;
    esac
}

# Offers those of the words that begin with what is typed.
_molecule_approve_offer() {
    local word
    for word in "$@"; do
        [[ $word == "$typed"* ]] && COMPREPLY+=("$prefix$word")
    done
}

# Offers an option's values.
_molecule_approve_value() {
    local choice
    # readline completes file names itself, with their blanks, colons and tildes.
    [[ " $paths " == *" $1 "* ]] && compopt -o default 2>/dev/null
    for choice in $choices; do
        [[ $choice == "$1="* ]] && _molecule_approve_offer "${choice#*=}"
    done
    for choice in $asked; do
        [[ $choice == "$1="* ]] && _molecule_approve_ask "${typed_words[0]}" "${choice#*=}"
    done
}

# Offers ids of requests, newest first, or names. The program is asked without arguments and says only what it knows by itself.
_molecule_approve_ask() {
    local program=$1 answer pattern='^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
    [[ $2 == approvers || $2 == requesters || $2 == workspaces ]] && pattern='^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$'
    # As it was typed, with its quotes; what they quote is hardly ever a quote.
    program=${program//[\"\'\\]/}
    [[ $program == '~/'* ]] && program=$HOME/${program#*/}
    program=$(type -P -- "$program" || type -P molecule-approve) || return
    while IFS= read -r answer; do
        # Whatever stands under that name on the PATH: nothing but an id or a plain name gets into the line.
        [[ $answer =~ $pattern ]] && _molecule_approve_offer "$answer"
    done < <(_MOLECULE_APPROVE_COMPLETE=$2 "$program" 2>/dev/null </dev/null)
    # Where @ cuts words, only what stands from the last one on is replaced.
    [[ $typed == *@* && $COMP_WORDBREAKS == *@* ]] && COMPREPLY=("${COMPREPLY[@]#"${typed%@*}"}")
}

# Offers programs, and what goes behind one, for the command that begins with this word of COMP_WORDS.
_molecule_approve_command() {
    local name
    for name in _comp_command_offset _command_offset; do
        if declare -F "$name" >/dev/null; then
            # As behind sudo: the package bash-completion knows what goes behind most programs.
            "$name" "$1"
            return
        fi
    done
    if ((start < last)); then
        compopt -o default 2>/dev/null
        return
    fi
    compopt -o filenames 2>/dev/null
    while IFS= read -r name; do
        # Neither a function nor what only the shell knows can be run.
        [[ -d $name ]] || type -P -- "$name" >/dev/null && COMPREPLY+=("$name")
    done < <(compgen -c -- "$typed" | sort -u)
}

_molecule_approve() {
    local IFS=$' \t\n'
    local subcommands flags valued paths choices asked wants
    local -a typed_words=() places=()
    local line=${COMP_LINE:0:COMP_POINT} word last=-1 index
    COMPREPLY=()

    # COMP_WORDS is cut at colons and at =; what stands together in the line belongs together.
    for ((index = 0; index <= COMP_CWORD; index++)); do
        word=${COMP_WORDS[index]}
        if [[ $last == -1 || $line == [[:blank:]]* ]]; then
            typed_words[++last]= places[last]=$index
            line=${line#"${line%%[![:blank:]]*}"}
        fi
        # Of the word at the cursor only what stands before it.
        ((index == COMP_CWORD)) && word=$line
        typed_words[last]+=$word
        line=${line#"$word"}
    done

    local place='' expecting='' given=0 plain='' for_command='' start=''
    _molecule_approve_table ''
    for ((index = 1; index < last; index++)); do
        word=${typed_words[index]}
        if [[ $expecting ]]; then
            expecting=''
        elif [[ ! $plain && $word == -- ]]; then
            plain=yes
            [[ $for_command ]] && wants=command
        elif [[ ! $plain && $word == -?* ]]; then
            [[ " $valued " == *" $word "* ]] && expecting=$word
            [[ $word == --for ]] && for_command=yes
        elif [[ $subcommands ]]; then
            place="$place${place:+ }$word"
            _molecule_approve_table "$place" || return 0
        elif [[ $wants == command ]]; then
            start=$index
            break
        else
            ((given += 1))
        fi
    done

    local typed=${typed_words[last]} prefix=''
    if [[ $start ]]; then
        _molecule_approve_command "${places[start]}"
    elif [[ $expecting ]]; then
        _molecule_approve_value "$expecting"
    elif [[ ! $plain && $typed == --*=* ]]; then
        # Where = does not cut words, the whole of it is replaced.
        [[ $COMP_WORDBREAKS == *=* ]] || prefix=${typed%%=*}=
        word=${typed%%=*} typed=${typed#*=}
        _molecule_approve_value "$word"
    elif [[ ! $plain && $typed == -* ]]; then
        _molecule_approve_offer $flags
    elif [[ $subcommands ]]; then
        _molecule_approve_offer $subcommands
    elif [[ $wants == command ]]; then
        start=$last
        _molecule_approve_command "${places[start]}"
    elif [[ $wants == ids && $given == 0 ]]; then
        _molecule_approve_ask "${typed_words[0]}" "$place"
    elif [[ " approvers requesters workspaces " == *" $wants "* && $given == 0 ]]; then
        _molecule_approve_ask "${typed_words[0]}" "$wants"
    elif [[ $wants == file && $given == 0 ]]; then
        compopt -o default 2>/dev/null
    elif [[ ! $wants && ! $typed && ! $plain ]]; then
        _molecule_approve_offer $flags
    fi
    return 0
}

complete -o nosort -F _molecule_approve molecule-approve 2>/dev/null || complete -F _molecule_approve molecule-approve
