# What sh can do by itself: arithmetic, loops, functions, patterns, parameters, printf.
number=$1
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
