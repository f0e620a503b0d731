# fish completion for molecule-approve, made by `make completions`. Words only: nothing here is ever evaluated.

# What may stand behind a command: its subcommands, its options, those of them that want a value, a file's name, or one of
# a few words, and its argument. Fails where there is no such command.
function __molecule_approve_table --no-scope-shadowing
    set subcommands
    set flags
    set valued
    set paths
    set choices
    set asked
    set wants ''
    switch "$argv"
        case ''
            set subcommands \
                request\t'Ask a person to approve ACTION, wait, and exit 0 only if they do.' \
                run\t'Ask a person to approve COMMAND, and execute exactly that if they do.' \
                wait\t'Wait for an earlier request, and redeem its approval.' \
                status\t'Show one request, or the newest ones.' \
                withdraw\t'Withdraw a pending request.' \
                pending\t'List the requests that wait for a decision, oldest first.' \
                review\t'Go through the pending requests, and decide each.' \
                approve\t'Approve a request.' \
                deny\t'Deny a request.' \
                receipt\t'Fetch the receipt of a request, or check one.' \
                requests\t'Move the requests of the embedded server to another database.' \
                approvers\t'Manage who may decide on the embedded server.' \
                requesters\t'Manage who may ask on the embedded server.' \
                workspaces\t'Manage the workspaces of the embedded server.' \
                policy\t'Check, explain and test the rules of the embedded server.' \
                hook\t'Ask a person before an agent\'s tool call.' \
                audit\t'Read, verify and export the audit log.' \
                serve\t'Run the embedded server until SIGINT or SIGTERM.' \
                mcp\t'Let an agent request approvals over MCP, on stdin and stdout.' \
                doctor\t'Check whether a request would work here, and whether an approval would prove anything.' \
                help\t'Show the help of a command.'
            set flags \
                --version\t'Show the version and exit.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
        case 'request'
            set flags \
                --reason\t'Why; the approver sees it.' \
                --context\t'Something the approver should know, such as ticket=OPS-12; repeatable.' \
                --idempotency-key\t'If a request with this key is pending, continue it instead of making a new one.' \
                --expires-in\t'For how long it can be decided: 10m, 2h. [default: the timeout; 1h if nobody waits]' \
                --id-file\t'Write the request\'s id to this file as soon as it is known.' \
                --timeout\t'How long to wait for a decision: 90s, 5m, 1h30m. [env:APPROVAL_TIMEOUT]' \
                --transport\t'How the decision is received. [env:APPROVAL_USE_WEBSOCKET]' \
                --poll-interval\t'Time between polls. [env:APPROVAL_POLL_INTERVAL]' \
                --result-file\t'Write the verdict as JSON, with exit_code, to this file at the end.' \
                --json\t'Print the verdict as one JSON object on stdout; with run, use --result-file.' \
                --quiet\t'Print nothing but errors on stderr.' \
                -q\t'Print nothing but errors on stderr.' \
                --require-verified-approver\t'Refuse a platform that does not verify the approver\'s name.' \
                --strict\t'Refuse a command if a file of it cannot be bound: too large, or one too many.' \
                --keep-env\t'Keep an environment variable that is dropped otherwise, and show its value to the approver; repeatable.' \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --for\t'Request approval of the command after --, for `run --approval ID` later, on any machine; exits 8 (pending).' \
                --no-wait\t'Do not wait: print the request\'s id and exit 8 (pending).' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --reason --context --idempotency-key --expires-in --id-file --timeout --transport --poll-interval --result-file --keep-env --config --platform-url --workspace-id --audit-log
            set paths --id-file --result-file --config --audit-log
            set choices --transport=auto --transport=websocket --transport=poll
            set wants text
        case 'run'
            set flags \
                --reason\t'Why; the approver sees it.' \
                --context\t'Something the approver should know, such as ticket=OPS-12; repeatable.' \
                --idempotency-key\t'If a request with this key is pending, continue it instead of making a new one.' \
                --expires-in\t'For how long it can be decided: 10m, 2h. [default: the timeout; 1h if nobody waits]' \
                --id-file\t'Write the request\'s id to this file as soon as it is known.' \
                --timeout\t'How long to wait for a decision: 90s, 5m, 1h30m. [env:APPROVAL_TIMEOUT]' \
                --transport\t'How the decision is received. [env:APPROVAL_USE_WEBSOCKET]' \
                --poll-interval\t'Time between polls. [env:APPROVAL_POLL_INTERVAL]' \
                --result-file\t'Write the verdict as JSON, with exit_code, to this file at the end.' \
                --json\t'Print the verdict as one JSON object on stdout; with run, use --result-file.' \
                --quiet\t'Print nothing but errors on stderr.' \
                -q\t'Print nothing but errors on stderr.' \
                --require-verified-approver\t'Refuse a platform that does not verify the approver\'s name.' \
                --strict\t'Refuse a command if a file of it cannot be bound: too large, or one too many.' \
                --keep-env\t'Keep an environment variable that is dropped otherwise, and show its value to the approver; repeatable.' \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --show\t'Only print what the approver would see: send no request, run nothing, exit 2.' \
                --exec\t'Let the command replace this process; the audit log will not say how it ended.' \
                --approval\t'Run the command of an earlier `request --for`, once that request is approved.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --reason --context --idempotency-key --expires-in --id-file --timeout --transport --poll-interval --result-file --keep-env --config --platform-url --workspace-id --audit-log --approval
            set paths --id-file --result-file --config --audit-log
            set choices --transport=auto --transport=websocket --transport=poll
            set asked --approval=wait
            set wants command
        case 'wait'
            set flags \
                --timeout\t'How long to wait for a decision: 90s, 5m, 1h30m. [env:APPROVAL_TIMEOUT]' \
                --transport\t'How the decision is received. [env:APPROVAL_USE_WEBSOCKET]' \
                --poll-interval\t'Time between polls. [env:APPROVAL_POLL_INTERVAL]' \
                --result-file\t'Write the verdict as JSON, with exit_code, to this file at the end.' \
                --json\t'Print the verdict as one JSON object on stdout; with run, use --result-file.' \
                --quiet\t'Print nothing but errors on stderr.' \
                -q\t'Print nothing but errors on stderr.' \
                --require-verified-approver\t'Refuse a platform that does not verify the approver\'s name.' \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --action\t'The action as it was requested; required if it is not in the local audit log.' \
                --withdraw\t'Withdraw the request at the timeout or on a signal.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --timeout --transport --poll-interval --result-file --config --platform-url --workspace-id --audit-log --action
            set paths --result-file --config --audit-log
            set choices --transport=auto --transport=websocket --transport=poll
            set wants ids
        case 'status'
            set flags \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --limit\t'List the N newest requests; the Molecule platform lists 50 at most.' \
                --json\t'Print JSON on stdout.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --platform-url --workspace-id --audit-log --limit
            set paths --config --audit-log
            set wants ids
        case 'withdraw'
            set flags \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --id-file\t'Read the id from this file, instead of ID.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --platform-url --workspace-id --audit-log --id-file
            set paths --config --audit-log --id-file
            set wants ids
        case 'pending'
            set flags \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --watch\t'Show a live table until Ctrl-C.' \
                --json\t'Print JSON on stdout.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --platform-url --workspace-id --audit-log
            set paths --config --audit-log
        case 'review'
            set flags \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --sign\t'Sign with this SSH key of yours: its file, or the .pub file of a key in ssh-agent.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --platform-url --workspace-id --audit-log --sign
            set paths --config --audit-log --sign
        case 'approve'
            set flags \
                --comment\t'Why; the requester sees it.' \
                --yes\t'Decide without confirmation; required without a terminal.' \
                --sign\t'Sign with this SSH key of yours: its file, or the .pub file of a key in ssh-agent.' \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --retract\t'Retract your approval, while the request waits for other people\'s.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --comment --sign --config --platform-url --workspace-id --audit-log
            set paths --sign --config --audit-log
            set wants ids
        case 'deny'
            set flags \
                --comment\t'Why; the requester sees it.' \
                --yes\t'Decide without confirmation; required without a terminal.' \
                --sign\t'Sign with this SSH key of yours: its file, or the .pub file of a key in ssh-agent.' \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --comment --sign --config --platform-url --workspace-id --audit-log
            set paths --sign --config --audit-log
            set wants ids
        case 'receipt'
            set subcommands \
                show\t'Write the receipt of an ended request: every decision, with the proof that came with it, signed by the server.' \
                verify\t'Check a receipt against your own keys, without the server.'
            set flags \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
        case 'receipt show'
            set flags \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --output\t'Write to this file, which must not exist yet. [default: stdout]' \
                -o\t'Write to this file, which must not exist yet. [default: stdout]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --platform-url --workspace-id --audit-log --output -o
            set paths --config --audit-log --output -o
            set wants ids
        case 'receipt verify'
            set flags \
                --approvers\t'The keys that count, and how many people have to have signed.' \
                --json\t'Print JSON on stdout.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --approvers
            set paths --approvers
            set wants file
        case 'requests'
            set subcommands \
                import\t'Copy everything from this user\'s SQLite database into an empty PostgreSQL database.'
            set flags \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
        case 'requests import'
            set flags \
                --database\t'The empty PostgreSQL database. Without it: that of server.yaml.' \
                --config\t'The server\'s settings, instead of server.yaml.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --database --config
        case 'approvers'
            set subcommands \
                add\t'Add an approver, and print the token alone on stdout.' \
                list\t'List the approvers, since when they may decide, and where.' \
                limit\t'Limit where an approver may decide, or lift the limit; the token stays. It holds at once, also on a running server.' \
                link\t'Print a sign-in link for the server\'s page, alone on stdout.' \
                revoke\t'Remove an approver; the token and all sessions end at once, also on a running server.' \
                keys\t'Manage the keys with which approvers prove their decisions.'
            set flags \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
        case 'approvers add'
            set flags \
                --workspace\t'Only in this workspace, by its name or id (repeatable).' \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --workspace --config
            set paths --config
            set asked --workspace=workspaces
            set wants text
        case 'approvers list'
            set flags \
                --json\t'Print JSON on stdout.' \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config
            set paths --config
        case 'approvers limit'
            set flags \
                --workspace\t'Only in this workspace, by its name or id (repeatable).' \
                --all-workspaces\t'In all workspaces.' \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --workspace --config
            set paths --config
            set asked --workspace=workspaces
            set wants approvers
        case 'approvers link'
            set flags \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --platform-url --config
            set paths --config
            set wants approvers
        case 'approvers revoke'
            set flags \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config
            set paths --config
            set wants approvers
        case 'approvers keys'
            set subcommands \
                add\t'Enrol an SSH key of an approver, or print a link with which the approver enrols a passkey.' \
                list\t'List the keys with which approvers can sign.' \
                remove\t'Remove a key: it proves nothing any more, at once. Requests that have ended stay as they are.'
            set flags \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
        case 'approvers keys add'
            set flags \
                --ssh\t'The public key: a .pub file of ssh-keygen.' \
                --passkey\t'Print a link with which NAME enrols a passkey.' \
                --label\t'What to call it. [the comment in the file]' \
                --sign\t'Sign with this SSH key of yours: its file, or the .pub file of a key in ssh-agent.' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --ssh --label --sign --platform-url --config
            set paths --ssh --sign --config
            set wants approvers
        case 'approvers keys list'
            set flags \
                --json\t'Print JSON on stdout.' \
                --export\t'Write the lines of a keys file, for a gate and for `receipt verify`.' \
                --mine\t'Your own keys on a running server, by the token in MOLECULE_APPROVER_TOKEN.' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --platform-url --config
            set paths --config
            set wants approvers
        case 'approvers keys remove'
            set flags \
                --mine\t'Your own keys on a running server, by the token in MOLECULE_APPROVER_TOKEN.' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --platform-url --config
            set paths --config
            set wants text
        case 'requesters'
            set subcommands \
                add\t'Add a requester, and print the token alone on stdout; the settings that its client needs are on stderr.' \
                list\t'List the requesters, where they may ask, and since when.' \
                revoke\t'Revoke a requester; its token ends at once, also on a running server. Its open requests stay.'
            set flags \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
        case 'requesters add'
            set flags \
                --workspace\t'The workspace, by its name or id; without it, the server\'s own (local).' \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --workspace --config
            set paths --config
            set asked --workspace=workspaces
            set wants text
        case 'requesters list'
            set flags \
                --workspace\t'Only in this workspace, by its name or id.' \
                --json\t'Print JSON on stdout.' \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --workspace --config
            set paths --config
            set asked --workspace=workspaces
        case 'requesters revoke'
            set flags \
                --workspace\t'Only in this workspace, by its name or id.' \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --workspace --config
            set paths --config
            set asked --workspace=workspaces
            set wants requesters
        case 'workspaces'
            set subcommands \
                add\t'Add a workspace, and print its id alone on stdout.' \
                list\t'List the workspaces: name, id, how many may ask there, and how many requests are open.' \
                remove\t'Remove a workspace that has no requesters and no open requests. Its earlier requests are kept.'
            set flags \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
        case 'workspaces add'
            set flags \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config
            set paths --config
            set wants text
        case 'workspaces list'
            set flags \
                --json\t'Print JSON on stdout.' \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config
            set paths --config
        case 'workspaces remove'
            set flags \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config
            set paths --config
            set wants workspaces
        case 'policy'
            set subcommands \
                check\t'Check a policy as the server does before it starts, but for the approvers in its database.' \
                explain\t'Say which rule of the server a request would come under, why, and who would have to approve it.' \
                test\t'Test a policy with a table of cases, for example in its own CI job.' \
                diff\t'Say which cases a new policy decides otherwise than the old one; what a case expects does not matter.'
            set flags \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
        case 'policy check'
            set flags \
                --json\t'Print JSON on stdout.' \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config
            set paths --config
            set wants file
        case 'policy explain'
            set flags \
                --as\t'The requester\'s name. [default: yours on this machine]' \
                --workspace\t'The workspace, by its name or id.' \
                --context\t'A part of the context (repeatable); of the CI job ci.repository and ci.ref.' \
                --run\t'ACTION is a command of any number of words, as run requests it.' \
                --policy\t'Another policy; then nobody is known but whom it names.' \
                --json\t'Print JSON on stdout.' \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --as --workspace --context --policy --config
            set paths --config
            set asked --workspace=workspaces
            set wants text
        case 'policy test'
            set flags \
                --json\t'Print JSON on stdout.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set wants text
        case 'policy diff'
            set flags \
                --json\t'Print JSON on stdout.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set wants text
        case 'hook'
            set subcommands \
                install\t'Install the hook in a host\'s settings file.' \
                uninstall\t'Remove the hook from a host\'s settings file.' \
                status\t'Show where the hook is installed, for you and for this project.' \
                test\t'Start the installed hook as its host does, and see it block.' \
                claude-code\t'Answer a hook of Claude Code.' \
                codex\t'Answer a hook of OpenAI Codex.' \
                gemini\t'Answer a hook of Gemini CLI.' \
                cursor\t'Answer a hook of Cursor.' \
                copilot\t'Answer a hook of GitHub Copilot CLI.'
            set flags \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
        case 'hook install'
            set flags \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --user\t'In your own settings, for all projects. The default.' \
                --project\t'In the settings of this project.' \
                --matcher\t'Which tools, in the host\'s own form; \'\' is all. The default: what can change things.' \
                --print\t'Only print a settings file with the hook in it.' \
                --yes\t'Do not ask. Only for a hook that is new: a change needs a person at a terminal.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --platform-url --workspace-id --audit-log --matcher
            set paths --config --audit-log
            set wants text
        case 'hook uninstall'
            set flags \
                --user\t'In your own settings, for all projects. The default.' \
                --project\t'In the settings of this project.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set wants text
        case 'hook status'
            set flags \
                --json\t'Print JSON on stdout.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
        case 'hook test'
            set flags \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set wants text
        case 'hook claude-code'
            set flags \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --limit\t'When the host gives a hook up, as its settings say; this one ends earlier. [default: the host\'s default]' \
                --answer\t'After an approval: allow the call, or leave it to the host\'s own rules.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --platform-url --workspace-id --audit-log --limit --answer
            set paths --config --audit-log
            set choices --answer=allow --answer=none
        case 'hook codex'
            set flags \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --limit\t'When the host gives a hook up, as its settings say; this one ends earlier. [default: the host\'s default]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --platform-url --workspace-id --audit-log --limit
            set paths --config --audit-log
        case 'hook gemini'
            set flags \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --limit\t'When the host gives a hook up, as its settings say; this one ends earlier. [default: the host\'s default]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --platform-url --workspace-id --audit-log --limit
            set paths --config --audit-log
        case 'hook cursor'
            set flags \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --limit\t'When the host gives a hook up, as its settings say; this one ends earlier. [default: the host\'s default]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --platform-url --workspace-id --audit-log --limit
            set paths --config --audit-log
        case 'hook copilot'
            set flags \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --limit\t'When the host gives a hook up, as its settings say; this one ends earlier. [default: the host\'s default]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --platform-url --workspace-id --audit-log --limit
            set paths --config --audit-log
        case 'audit'
            set subcommands \
                tail\t'Show the last records of the audit log and its archives; in a pipe, the log\'s own lines.' \
                verify\t'Verify that the audit log is whole.' \
                show\t'Show one request: its records, what happened, and how it ended. Verifies nothing.' \
                stats\t'Count requests by outcome and approver, and show how long decisions took. Verifies nothing.' \
                export\t'Export one request\'s records as JSON evidence, which verify FILE checks on any machine.' \
                rotate\t'Turn the audit log into an archive and continue in a new file. Prints the archive\'s path.' \
                init\t'Begin the audit log with a first record, or seal it from now on.'
            set flags \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
        case 'audit tail'
            set flags \
                -n\t'Number of records. [default: 10; with --since: all]' \
                --lines\t'Number of records. [default: 10; with --since: all]' \
                -f\t'Keep printing records as they are added.' \
                --follow\t'Keep printing records as they are added.' \
                --outcome\t'Only records with this outcome: granted (or approved), denied, …' \
                --event-type\t'Only records of this type: approval, rbac, audit.' \
                --actor\t'Only records of this person or workspace.' \
                --trace\t'Only records of this request: its trace id, or the beginning of it.' \
                --since\t'Only records of the last 2h or 1d, or since 2026-04-27T10:00:00Z.' \
                --json\t'Print the log\'s own lines, also at a terminal.' \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued -n --lines --outcome --event-type --actor --trace --since --config --audit-log
            set paths --config --audit-log
            set choices --outcome=granted --outcome=denied --outcome=timeout --outcome=withdrawn --outcome=failure --outcome=initiated --outcome=requested --outcome=resumed --outcome=observed --outcome=started --outcome=finished --outcome=refused --event-type=approval --event-type=rbac --event-type=audit
        case 'audit verify'
            set flags \
                --expect\t'The log must contain this record, known from elsewhere; repeatable.' \
                --from\t'Start at this record: the archives before it were removed on purpose.' \
                --seal-key-file\t'Check the seals with the keys in this file, one per line.' \
                --against-platform\t'Compare with the heads that the platform stores with its requests.' \
                --json\t'Print JSON on stdout.' \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --expect --from --seal-key-file --config --platform-url --workspace-id --audit-log
            set paths --seal-key-file --config --audit-log
            set wants file
        case 'audit show'
            set flags \
                --json\t'Print JSON on stdout.' \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --audit-log
            set paths --config --audit-log
            set wants text
        case 'audit stats'
            set flags \
                --since\t'Only requests of the last 2h or 1d, or since 2026-04-27T10:00:00Z.' \
                --until\t'Only requests older than 2h or 1d, or before 2026-04-27T10:00:00Z.' \
                --json\t'Print JSON on stdout.' \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --since --until --config --audit-log
            set paths --config --audit-log
        case 'audit export'
            set flags \
                --output\t'Write to this file, which must not exist yet. [default: stdout]' \
                -o\t'Write to this file, which must not exist yet. [default: stdout]' \
                --complete\t'Include every line up to the log\'s head. Those lines contain other requests.' \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --output -o --config --audit-log
            set paths --output -o --config --audit-log
            set wants text
        case 'audit rotate'
            set flags \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --audit-log
            set paths --config --audit-log
        case 'audit init'
            set flags \
                --seal\t'Seal every record from now on. Prints the first key, once: keep it elsewhere.' \
                --new-key\t'Create a new key, even if the log is sealed already or its key is lost.' \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --audit-log
            set paths --config --audit-log
        case 'serve'
            set flags \
                --config\t'server.yaml or its folder. [env:MOLECULE_SERVER_CONFIG]' \
                --host\t'The address to listen on; beyond loopback it needs TLS. [127.0.0.1]' \
                --port\t'The port; 0 takes a free one. [8788]' \
                --public-url\t'The address that people and clients use, if it is another one.' \
                --tls-cert\t'The certificate chain (PEM).' \
                --tls-key\t'Its key (PEM).' \
                --trusted-proxy\t'A network whose X-Forwarded-For counts (repeatable).' \
                --plain-http\t'Listen beyond loopback without TLS: a proxy provides it.' \
                --database\t'The database, if it is not the SQLite file.' \
                --policy\t'The rules that say who has to approve what. [policy.yaml in the state folder]' \
                --open\t'Open the page in the browser, signed in as you.' \
                --anonymous-requests\t'Let clients without a token send, list and watch requests; they cannot decide.' \
                --log-format\t'What the log on stderr consists of: text or json. [text]' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --host --port --public-url --tls-cert --tls-key --trusted-proxy --database --policy --log-format
            set paths --config
        case 'mcp'
            set flags \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --timeout\t'How long to wait for a decision: 90s, 5m, 1h30m. [env:APPROVAL_TIMEOUT]' \
                --require-verified-approver\t'Refuse a platform that does not verify the approver\'s name.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --platform-url --workspace-id --audit-log --timeout
            set paths --config --audit-log
        case 'doctor'
            set flags \
                --config\t'config.yaml or its folder. [env:WORKSPACE_CONFIG_PATH]' \
                --platform-url\t'Address of the platform, or \'local\' for your own embedded server. [env:PLATFORM_URL]' \
                --workspace-id\t'The workspace of the requests. [env:WORKSPACE_ID]' \
                --audit-log\t'The audit log. [env:AUDIT_LOG_PATH]' \
                --ask\t'Also send a request on which nothing depends, and wait for its decision.' \
                --timeout\t'How long to wait for a decision: 90s, 5m, 1h30m. [env:APPROVAL_TIMEOUT]' \
                --json\t'Print JSON on stdout.' \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set valued --config --platform-url --workspace-id --audit-log --timeout
            set paths --config --audit-log
        case 'help'
            set flags \
                -h\t'Show this message and exit.' \
                --help\t'Show this message and exit.'
            set wants text
        case '*'
            return 1
    end
end

# Offers ids of requests, newest first, or names. The program is asked without arguments and says only what it knows by itself.
function __molecule_approve_ask
    set -l program $argv[1]
    string match -q '~/*' -- $program; and set program $HOME(string sub -s 2 -- $program)
    command -sq -- $program; or set program molecule-approve
    command -sq -- $program; or return
    set -l pattern '^[0-9a-fA-F]{8}(?:-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$'
    contains -- $argv[2] approvers requesters workspaces; and set pattern '^[A-Za-z0-9][A-Za-z0-9._@+-]{0,63}$'
    # Whatever stands under that name on the PATH: nothing but an id or a plain name gets into the line.
    _MOLECULE_APPROVE_COMPLETE=$argv[2] command $program 2>/dev/null </dev/null | string match -r $pattern
end

# Offers programs, and what goes behind one, as behind sudo.
function __molecule_approve_command
    set -l typed (commandline -ct)
    # fish runs a command substitution in what it is asked to complete.
    string match -q '*(*' -- "$typed"; and return
    set -l found (complete --do-complete=(string join ' ' -- (string escape -- $argv) "$typed"))
    if set -q argv[1]
        printf '%s\n' $found
        return
    end
    for line in $found
        # Neither a function nor what only the shell knows can be run.
        set -l name (string split -m 1 \t -- $line)[1]
        string match -q '*/*' -- $name; or command -sq -- $name; and printf '%s\n' $line
    end
end

# `words` offers what fits at the cursor; `path` succeeds where it is the name of a file, which fish completes by itself.
function __molecule_approve
    set -l wanted $argv[1]
    set -l subcommands
    set -l flags
    set -l valued
    set -l paths
    set -l choices
    set -l asked
    set -l wants
    set -l words (commandline -opc)
    set -l typed (commandline -ct)
    set -l place
    set -l expecting ''
    set -l given 0
    set -l plain ''
    set -l for_command ''
    set -l command

    __molecule_approve_table ''
    for word in $words[2..]
        if set -q command[1]
            set command $command $word
        else if test -n "$expecting"
            set expecting ''
        else if test -z "$plain"; and test "$word" = --
            set plain yes
            test -n "$for_command"; and set wants command
        else if test -z "$plain"; and string match -q -- '-?*' "$word"
            contains -- $word $valued; and set expecting $word
            test "$word" = --for; and set for_command yes
        else if set -q subcommands[1]
            set place $place $word
            __molecule_approve_table $place; or return
        else if test "$wants" = command
            set command $word
        else
            set given (math $given + 1)
        end
    end

    # In --option=value fish replaces the whole word.
    set -l before ''
    if test -z "$expecting$plain$command"; and string match -q -- '--*=*' "$typed"
        set expecting (string split -m 1 = -- $typed)[1]
        set before "$expecting="
    end

    if test "$wanted" = path
        if test -n "$expecting"
            contains -- "$expecting" $paths
            return
        end
        test "$wants" = file -a $given -eq 0
    else if set -q command[1]
        __molecule_approve_command $command
    else if test -n "$expecting"
        for choice in $choices
            set -l parts (string split -m 1 = -- $choice)
            test $parts[1] = "$expecting"; and printf '%s%s\n' "$before" $parts[2]
        end
        for choice in $asked
            set -l parts (string split -m 1 = -- $choice)
            test $parts[1] = "$expecting"; or continue
            for answer in (__molecule_approve_ask $words[1] $parts[2])
                printf '%s%s\n' "$before" $answer
            end
        end
    else if test -z "$plain"; and string match -q -- '-*' "$typed"
        printf '%s\n' $flags
    else if set -q subcommands[1]
        printf '%s\n' $subcommands
    else if test "$wants" = command
        __molecule_approve_command
    else if test "$wants" = ids -a $given -eq 0
        __molecule_approve_ask $words[1] "$place"
    else if contains -- "$wants" approvers requesters workspaces; and test $given -eq 0
        __molecule_approve_ask $words[1] $wants
    else if test -z "$wants" -a -z "$typed" -a -z "$plain"
        printf '%s\n' $flags
    end
end

complete --command molecule-approve --no-files --keep-order --arguments '(__molecule_approve words)'
complete --command molecule-approve --condition '__molecule_approve path' --force-files
