#!/bin/sh
# Installs OpenSSH's server and rsync where apt-get and the right to use it are there; else says what that means for the tests.
# The tests start a server of their own: the machine's is neither started nor left enabled.
[ -x /usr/sbin/sshd ] && command -v rsync >/dev/null 2>&1 && exit 0

if command -v apt-get >/dev/null 2>&1; then
    as_root=
    [ "$(id -u)" = 0 ] || as_root="sudo -n"
    if [ -z "$as_root" ] || sudo -n true >/dev/null 2>&1; then
        was=$([ -x /usr/sbin/sshd ] && echo there || echo new)
        echo "installing openssh-server and rsync (Debian packages; the tests deploy through them to this machine)"
        install="$as_root env RUNLEVEL=1 apt-get install -y -qq --no-install-recommends openssh-server rsync"
        if { $install || { $as_root apt-get update -qq && $install; }; } >/dev/null 2>&1; then
            [ "$was" = there ] || $as_root systemctl disable ssh.service ssh.socket >/dev/null 2>&1
            exit 0
        fi
    fi
fi
echo "skipped: deploying to an sshd, openssh-server or rsync is not installed (try: apt-get install openssh-server rsync)"
