# For the scripts that prepare programs: what is there and newer than its sources stays.
set -euo pipefail
: "${TOP:=$(cd ../../.. && pwd)}"
: "${OUT:=$TOP/target/programs/$(basename "$PWD")}"
mkdir -p "$OUT"
INCLUDE=$TOP/guest/c/include

is_fresh() { # result, sources
  local result=$1 source
  shift
  [ -e "$result" ] || return 1
  for source in "$@" "$TOP"/tests/programs/common/* "$INCLUDE"/*.h prepare; do
    [ "$source" -ot "$result" ] || return 1
  done
}

needs() { # package, command or file that tells that it is there
  command -v "$2" >/dev/null || [ -e "$2" ] || {
    echo "the package $1 is missing: packaging/install-dependencies programs" >&2
    exit 1
  }
}

preload() { # the library that makes a program serve requests
  local source=$TOP/guest/preload/tinykvm_main.c
  is_fresh "$OUT/preload.so" "$source" ||
    gcc -O2 -Wall -Wextra -shared -fPIC -Wl,-z,initfirst -I"$INCLUDE" "$source" -o "$OUT/preload.so"
}

npm_packages() { # fetches those of package-lock.json, if they are not there
  needs npm npm
  local modules=$OUT/node_modules
  is_fresh "$modules/.package-lock.json" package.json package-lock.json && return
  cp package.json package-lock.json "$OUT"
  npm ci --prefix "$OUT" --loglevel=error --no-audit --no-fund --ignore-scripts --fetch-retries=5
  touch "$modules/.package-lock.json"
}

cargo_build() { # name of the executable
  "${CARGO:-cargo}" build --quiet --release --locked --target-dir "$TOP/target/programs/cargo"
  ln -sf "$TOP/target/programs/cargo/x86_64-unknown-linux-gnu/release/$1" "$OUT/program"
}
