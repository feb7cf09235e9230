# What sh can do by itself: arithmetic, loops, functions, patterns, parameters, printf.
number=$1

# What differs in each request, and clocks in nanoseconds.
unique() {
  local bytes='' part i now up uuid
  # `read` ends at a newline: so more than once.
  for i in 1 2 3 4; do
    IFS= read -r -n 8 part </dev/urandom
    bytes=$bytes$part
  done
  printf 'urandom '
  while [ -n "$bytes" ]; do
    printf '%02x' "'$bytes"
    bytes=${bytes#?}
  done
  read -r uuid </proc/sys/kernel/random/uuid
  # By itself it begins with the time and the number of the process.
  RANDOM=$((0x${uuid%%-*}))
  read -r up _ </proc/uptime
  now=$EPOCHREALTIME
  printf '\nuuid %s\nrandom %s-%s-%s\n' "$uuid" "$RANDOM" "$RANDOM" "$RANDOM"
  printf 'monotonic %s%s0000000\nrealtime %s%s000\n' "${up%.*}" "${up#*.}" "${now%.*}" "${now#*.}"
}
if [ "$number" = unique ]; then
  unique
  exit
fi

factorial() {
  if [ "$1" -le 1 ]; then result=1; else factorial $(($1 - 1)); result=$((result * $1)); fi
}
sum=0 i=0
while [ "$i" -lt 200 ]; do
  case $i in
    *[05]) sum=$((sum + i * number)) ;;
    *) sum=$((sum + 1)) ;;
  esac
  i=$((i + 1))
done
factorial $((number % 15))
text="request number $number of sh"
set -- $text
printf '%s|%d|%s|%05d|%s words\n' "${text#* }" "$sum" "$result" "$number" "$#"
