# SPDX-License-Identifier: MIT
# fish completion for popfs(1)

function __popfs_operands
    set -l words (commandline -opc)[2..-1]
    set -l skip 0
    for word in $words
        if test $skip -eq 1
            set skip 0
        else if test "$word" = -o
            set skip 1
        else if not string match -q -- '-*' $word
            echo $word
        end
    end
end

function __popfs_sources
    printf '%s\n' pops:// pop3://
    set -l base $XDG_CONFIG_HOME
    test -n "$base"; or set base ~/.config
    test -r $base/popfs/config; and sed -n 's/^\[\(.*\)\]$/\1/p' $base/popfs/config
end

# What is typed of the list stays in front.
function __popfs_mount_options
    set -l front (string match -r '^.*,' -- (commandline -ct))
    set -l words user= port= passcmd= passfile= password_stdin cafile= cert= key= pin=sha256// timeout= keepalive= lazy= \
        prefetch refresh= idle= noquit cache= cache=off state= state=off bin= bin=0 cache_size= \
        uid= gid= umask= ro rw allow_other auto_unmount max_read= default_permissions \
        auth={auto,user,apop,plain,login,cram-md5,scram-sha-1,scram-sha-256,scram-sha-256-plus,xoauth2,oauthbearer,external} \
        tls={on,starttls,off} pipeline={auto,off} top={auto,off} sandbox={auto,off} size={auto,strict} eol={crlf,lf} \
        control={hidden,visible,off}
    printf "$front%s\n" $words
end

complete -c popfs -f
complete -c popfs -s o -x -d 'Mount options' -a '(__popfs_mount_options)'
complete -c popfs -s f -d 'Stay in the foreground'
complete -c popfs -s d -d 'Stay in the foreground and trace everything'
complete -c popfs -s s -d 'Without effect'
complete -c popfs -s h -d 'Help'
complete -c popfs -s V -d 'Versions'
complete -c popfs -n 'test (count (__popfs_operands)) -eq 0' -a '(__popfs_sources)'
complete -c popfs -n 'test (count (__popfs_operands)) -eq 1' -a '(__fish_complete_directories (commandline -ct))'
