# Programs of Debian's next release, unpacked beside those of this host, with their own libraries
# and dynamic loader: a root of their own, from which nothing is installed.

SUITE=forky
ROOT=$TOP/target/programs/debian-$SUITE
KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

own_apt() { # a package manager that knows nothing of this host's packages
  APT_CONFIG=$ROOT.apt/apt.conf "$@"
}

newest() { # the newest package of a name with a version in it
  own_apt apt-cache search --names-only "^$1[0-9.]*$2\$" | cut -d' ' -f1 | sort -V | tail -n 1
}

unpack_root() (
  rm -rf "$ROOT" "$ROOT.apt"
  mkdir -p "$ROOT.apt"/{state/lists/partial,cache/archives/partial,log} "$ROOT"
  cd "$ROOT.apt"
  : >status
  echo "deb [signed-by=$KEYRING] ${DEBIAN_MIRROR:-http://deb.debian.org/debian} $SUITE main" >sources.list
  cat >apt.conf <<CONF
Dir::State "$PWD/state";
Dir::State::status "$PWD/status";
Dir::Cache "$PWD/cache";
Dir::Log "$PWD/log";
Dir::Etc::sourcelist "$PWD/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
APT::Architecture "amd64";
APT::Sandbox::User "";
APT::Get::Assume-Yes "yes";
APT::Install-Recommends "no";
Acquire::Languages "none";
Acquire::Retries "5";
Acquire::Check-Valid-Until "no";
Debug::NoLocking "yes";
CONF
  own_apt apt-get -qq update
  own_apt apt-get -qq --download-only install "$(newest python3. '')" "$(newest ruby '')" "$(newest php -cli)"
  for package in cache/archives/*.deb; do
    dpkg-deb -x "$package" "$ROOT"
    dpkg-deb -W --showformat='${Package} ${Version}\n' "$package" >>"$ROOT/packages"
  done
  rm -rf cache state
  ln -s usr/lib usr/lib64 "$ROOT"
)

debian_root() { # unpacks them, if they are not there: once, whoever is first
  needs debian-archive-keyring "$KEYRING"
  (
    flock 9
    [ "$ROOT/packages" -nt "$TOP/tests/programs/common/debian.sh" ] || unpack_root >&2
  ) 9>"$ROOT.lock"
}

debian_program() { # name of a package, where it is a pattern for grep; its executable
  grep -E "^$1 " "$ROOT/packages" | cut -d' ' -f2 >"$OUT/version"
  ln -sfn "$ROOT" "$OUT/root"
  ln -sf "$ROOT/usr/bin/$2" "$OUT/program"
}

# How a program is run natively: by its own loader, which finds its own libraries.
debian_native() { # environment and arguments in front of those of the call
  cat >"$OUT/native" <<NATIVE
#!/usr/bin/env bash
exec env $1 "$ROOT/usr/lib64/ld-linux-x86-64.so.2" --library-path "$ROOT/usr/lib/x86_64-linux-gnu" "$OUT/program" $2 "\$@"
NATIVE
  chmod +x "$OUT/native"
}
