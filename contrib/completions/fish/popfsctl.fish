# SPDX-License-Identifier: MIT
# fish completion for popfsctl(1)

function __popfsctl_operands
    string match -v -- '-*' (commandline -opc)[2..-1]
end

function __popfsctl_names
    set -l operands (__popfsctl_operands)
    switch "$operands[1]"
        case undelete
            command ls -- $operands[2]/.popfs/trash 2>/dev/null
        case prefetch verify
            command ls -- $operands[2] 2>/dev/null
        case bin
            popfsctl bin $operands[2] 2>/dev/null | sed 's/  .*//'
    end
end

set -l first 'test (count (__popfsctl_operands)) -eq 0'
complete -c popfsctl -f
complete -c popfsctl -n $first -a status -d 'What goes on'
complete -c popfsctl -n $first -a refresh -d 'Look for new mail'
complete -c popfsctl -n $first -a commit -d 'Delete on the server what was removed'
complete -c popfsctl -n $first -a undelete -d 'Bring back removed messages'
complete -c popfsctl -n $first -a rollback -d 'Bring back all removed messages'
complete -c popfsctl -n $first -a prefetch -d 'Fetch messages to the local disk'
complete -c popfsctl -n $first -a verify -d 'Find damage in the local copies'
complete -c popfsctl -n $first -a bin -d 'List what was deleted and is kept, or copy it out'
complete -c popfsctl -n $first -a umount -d 'Commit, unmount, and wait for the end'
complete -c popfsctl -n 'test (count (__popfsctl_operands)) -eq 1' -a '(findmnt -rno TARGET -t fuse.popfs | string unescape)'
complete -c popfsctl -n 'test (count (__popfsctl_operands)) -ge 2' -a '(__popfsctl_names)'
complete -c popfsctl -l json -d 'One JSON object'
complete -c popfsctl -s q -l quiet -d 'Only say what went wrong'
complete -c popfsctl -s l -l lazy -n 'contains umount (__popfsctl_operands)' -d 'Detach at once, commit nothing'
complete -c popfsctl -s f -l force -n 'contains umount (__popfsctl_operands)' -d 'By force, commit nothing'
complete -c popfsctl -s h -l help -d 'Help'
complete -c popfsctl -s V -l version -d 'Version'
