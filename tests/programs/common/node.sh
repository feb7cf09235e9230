# Programs for Node.js: fetches the packages of package.json, and puts the library beside them.
npm_packages
modules=$OUT/node_modules
own=$modules/tinykvm
is_fresh "$own/tinykvm.node" "$TOP"/guest/node/* || {
  mkdir -p "$own"
  cp "$TOP"/guest/node/{index.js,package.json} "$own"
  gcc -O2 -Wall -Wextra -shared -fPIC -I"$modules/node-api-headers/include" -I"$INCLUDE" \
    "$TOP/guest/node/tinykvm.c" -o "$own/tinykvm.node"
}
cp ../node/main.js "$OUT"
