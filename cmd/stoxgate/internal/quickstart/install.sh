#!/bin/sh
# Installs the Debian packages that are missing among the given ones, without
# starting their services: whoever needs one here starts it with a
# configuration of its own. Anybody but root is asked for by sudo.
#
#   install.sh PACKAGE...
set -eu

missing=
for package in "$@"; do
	if ! dpkg-query -W -f='${Status}\n' "$package" 2>/dev/null | grep -qx 'install ok installed'; then
		missing="$missing $package"
	fi
done
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
	echo "install: not a Debian machine; install$missing yourself" >&2
	exit 1
fi
if [ "$(id -u)" -ne 0 ]; then
	if ! command -v sudo >/dev/null; then
		echo "install: as root, run: apt-get install$missing" >&2
		exit 1
	fi
	exec sudo sh "$0" "$@"
fi

echo "installing$missing"
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	trap 'exit 1' INT TERM
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 update -qq
# shellcheck disable=SC2086 # a list of words
apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 install -y -qq --no-install-recommends $missing
