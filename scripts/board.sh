#!/bin/sh
# The board's half of scripts/deploy.sh, which sends it through ssh: sh -s -- STEP DIR ARGUMENT...
# Nothing but what every L4T has. Each step may be cut off anywhere: `current` names a whole, checked release before and after.
#
#   DIR/current -> releases/ID      the release in use          DIR/previous -> releases/ID    the one before
#   DIR/releases/ID                 its files and MANIFEST      DIR/releases/.incoming-ID      one that is being copied
set -eu

KEPT=3

fail() { # WHAT [TRY]
    echo "$(uname -n): $1" >&2
    [ $# -lt 2 ] || echo "try: $2" >&2
    exit 1
}

enter() {
    cd "$dir" 2>/dev/null || fail "there is no folder $dir" "make deploy-jetson"
    [ -f releases/.edgezero ] || fail "$dir holds no release of edgezero"
}

# One at a time. The lock goes with the process, so a cut leaves none.
lock() {
    exec 9>releases/.lock
    ! command -v flock >/dev/null 2>&1 || flock -n 9 || fail "another deploy to $dir is under way" "again, when it has ended"
}

linked() { # LINK
    [ ! -L "$1" ] || basename "$(readlink "$1")"
}

point() { # LINK ID: in one rename
    ln -sfn "releases/$2" ".$1.new"
    mv -T ".$1.new" "$1"
}

whole() { # FOLDER
    (cd "$1" 2>/dev/null && sha256sum -c --status MANIFEST 2>/dev/null)
}

# Makes the place ready. Prints `there` if this very release is in use, `kept` if it is there, else `rsync` or `tar`.
prepare() { # ID MACHINE KIB
    id=$1 machine=$2 kib=$3
    here=$(uname -m)
    [ "$here" = "$machine" ] || fail "this machine is $here, the binary is for $machine" "BINARY=path of one for $here"
    if ! mkdir -p "$dir/releases" 2>/dev/null || [ ! -w "$dir" ] || [ ! -w "$dir/releases" ]; then
        fail "$(id -un) may not write $dir" "ssh -t $jetson \"sudo install -d -o $(id -un) -g $(id -gn) '$dir'\"     (or another DIR)"
    fi
    cd "$dir"
    : >releases/.edgezero
    lock
    if whole "releases/$id"; then
        if [ "$(linked current)" = "$id" ]; then echo there; else echo kept; fi
        return
    fi
    # What an earlier cut left.
    for left in releases/.incoming-*; do
        [ "$left" = "releases/.incoming-$id" ] || rm -rf "$left"
    done
    free=$(df -Pk . | awk 'NR == 2 { print $4 }')
    [ "$free" -gt $((kib + 4096)) ] || fail "$free KiB are free in $dir, $((kib + 4096)) are needed" "df -h '$dir'"
    mkdir -p "releases/.incoming-$id"
    if command -v rsync >/dev/null 2>&1; then echo rsync; else echo tar; fi
}

# The copied release under its name, if it is whole and its program runs here.
admit() { # ID
    [ ! -d "releases/.incoming-$1" ] || {
        whole "releases/.incoming-$1" || fail "the copy differs from its MANIFEST" "the same command again"
        "releases/.incoming-$1/edgezero" --version >/dev/null 2>&1 \
            || fail "the new edgezero does not start here; nothing was changed" "ssh $jetson '$dir/releases/.incoming-$1/edgezero' --version"
        # On the disk before anything names it.
        sync
        rm -rf "releases/$1"
        mv "releases/.incoming-$1" "releases/$1"
    }
    whole "releases/$1" || fail "release $1 is damaged" "the same command again"
}

# What runs here: the doctor where the release has one, and the opponent's first answer where there is a net.
healthy() {
    program=$PWD/current/edgezero
    "$program" --version || return 1
    if "$program" doctor --help >/dev/null 2>&1; then
        "$program" doctor || return 1
    else
        "$program" profiles || return 1
    fi
    [ -e net.bin.gz ] || return 0
    answer=$(printf 'name\nquit\n' | "$program" gtp --net net.bin.gz) || return 1
    case "$answer" in "= "*) echo "opponent: answers" ;; *) return 1 ;; esac
}

# The release in use from now on, or the old one if the new one is not healthy.
switch() { # ID
    old=$(linked current)
    point current "$1"
    if ! healthy; then
        if [ -n "$old" ] && [ "$old" != "$1" ]; then
            point current "$old"
            fail "release $1 is not healthy (see above), $old is in use again"
        fi
        [ "$old" = "$1" ] || rm -f current
        fail "release $1 is not healthy (see above)"
    fi
    [ "$old" != "$1" ] || return 0
    [ -z "$old" ] || point previous "$old"
    sync
    restart
}

# Services go on with the new program: a run in training writes its checkpoint first.
restart() {
    [ -e /etc/systemd/system/edgezero-train.service ] || return 0
    sudo -n systemctl try-restart edgezero-train 2>/dev/null || echo "the service still runs the old program: sudo systemctl try-restart edgezero-train"
}

prune() {
    # Those that are named are the newest, so others give way to them.
    for link in previous current; do
        id=$(linked $link)
        [ -z "$id" ] || touch -c "releases/$id"
    done
    rm -rf releases/.incoming-*
    # Newest first; names are hexadecimal.
    # shellcheck disable=SC2012
    ls -1t releases | tail -n +$((KEPT + 1)) | while read -r id; do
        [ "$id" = "$(linked current)" ] || [ "$id" = "$(linked previous)" ] || rm -rf "releases/$id"
    done
}

activate() { # ID
    enter
    lock
    admit "$1"
    switch "$1"
    prune
    echo "in use: $dir/current -> releases/$1"
}

rollback() {
    enter
    lock
    to=$(linked previous)
    [ -n "$to" ] || fail "there is no release before this one"
    admit "$to"
    switch "$to"
    echo "in use: $dir/current -> releases/$to (rollback again goes back)"
}

# The systemd units for this folder and this user, then into place if this user may.
units() { # PORT
    enter
    case "$dir" in *[!A-Za-z0-9/._-]*) fail "systemd units need a folder of letters, digits and ._-, not $dir" "another DIR" ;; esac
    protect_home=yes
    case "$dir/" in /home/* | /root/*) protect_home=read-only ;; esac
    rm -rf units
    mkdir -p units cache
    for unit in current/units/*; do
        sed -e "s|@DIR@|$dir|g" -e "s|@USER@|$(id -un)|g" -e "s|@PORT@|$1|g" -e "s|@PROTECT_HOME@|$protect_home|g" -e "s|@BOARD@|$(uname -n)|g" \
            "$unit" >"units/$(basename "$unit")"
    done
    as_root="sudo -n"
    [ "$(id -u)" != 0 ] || as_root=
    if [ -d /run/systemd/system ] && $as_root install -m 644 units/* /etc/systemd/system/ 2>/dev/null && $as_root systemctl daemon-reload; then
        echo "units: in /etc/systemd/system; start them with"
    else
        echo "units: in $dir/units; as $(id -un) has no right to install them without a password, once:"
        echo "    sudo install -m 644 $dir/units/* /etc/systemd/system/ && sudo systemctl daemon-reload"
    fi
    echo "    sudo systemctl enable --now edgezero-train          (records in $dir/data/sgf)"
    echo "    sudo systemctl enable --now edgezero-gtp.socket     (a net as $dir/net.bin.gz; GTP on port $1)"
}

# Takes away what deploying brought. Records, runs and nets stay.
undeploy() {
    if [ ! -f "$dir/releases/.edgezero" ]; then
        echo "nothing to take away: $dir holds no release of edgezero"
        return
    fi
    enter
    lock
    if [ -e /etc/systemd/system/edgezero-train.service ]; then
        as_root="sudo -n"
        [ "$(id -u)" != 0 ] || as_root=
        off="systemctl disable --now edgezero-train edgezero-gtp.socket"
        files="/etc/systemd/system/edgezero-train.service /etc/systemd/system/edgezero-gtp.socket /etc/systemd/system/edgezero-gtp@.service"
        # shellcheck disable=SC2086
        if ! { $as_root $off && $as_root rm -f $files && $as_root systemctl daemon-reload; } 2>/dev/null; then
            fail "its services are installed, and $(id -un) may not remove them" "ssh -t $jetson \"sudo $off; sudo rm -f $files\""
        fi
    fi
    rm -rf current previous .current.new .previous.new units cache releases
    cd /
    rmdir "$dir" 2>/dev/null || true
    left=$(ls -A "$dir" 2>/dev/null | tr '\n' ' ')
    echo "taken away: what deploying brought to $dir${left:+; kept: $left}"
}

step=$1 dir=$2 jetson=$3
shift 3
# A relative folder is one in the home of this user.
case "$dir" in /*) ;; *) dir=$HOME/$dir ;; esac
"$step" "$@"
