# SPDX-License-Identifier: Apache-2.0
# What tools/check and tools/quickstart share: installing what is missing, and a word about each step.

# shellcheck shell=bash disable=SC2034

# Names that Debian 12 and 13 both know.
BUILD_PACKAGES="gcc libc6-dev meson ninja-build pkg-config liburing-dev libsystemd-dev libc-ares-dev libjansson-dev \
zlib1g-dev libseccomp-dev libstemmer-dev libutf8proc-dev"
TEST_PACKAGES="libcmocka-dev scdoc man-db bsdextrautils procps"
FULL_PACKAGES="clang clang-format clang-tidy llvm libclang-rt-dev gcovr valgrind spin strace \
shellcheck systemd systemd-sysv libnss-systemd dbus util-linux"
BENCH_PACKAGES="libcurl4-openssl-dev python3-aiohttp"

say() {
    printf '\033[1m==> %s\033[0m\n' "$*" | if [ -t 1 ]; then cat; else sed 's/\x1b\[[0-9]*m//g'; fi
}

# Installs those of the packages that are missing; the one place that needs to be root.
need_packages() {
    local missing=() package
    for package in "$@"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
    done
    [ ${#missing[@]} -eq 0 ] && return 0
    local as_root=()
    if [ "$(id -u)" -ne 0 ]; then
        command -v sudo >/dev/null || {
            echo "These packages are missing; install them as root: ${missing[*]}" >&2
            return 1
        }
        as_root=(sudo)
    fi
    say "Installing ${missing[*]}"
    "${as_root[@]}" apt-get update -qq &&
        "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
            apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
}

# configure DIR [MESON-OPTION...]: sets a build directory up, anew when it was set up otherwise. CC= chooses the compiler.
configure() {
    local dir=$1
    shift
    [ -f "$dir/build.ninja" ] && [ "$(cat "$dir.options" 2>/dev/null)" = "${CC:-} $*" ] && return 0
    rm -rf "$dir"
    mkdir -p "$(dirname "$dir")"
    meson setup "$dir" "$@" >"$dir.log" 2>&1 || {
        tail -40 "$dir.log" >&2
        return 1
    }
    echo "${CC:-} $*" >"$dir.options"
}
