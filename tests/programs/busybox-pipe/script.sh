# Each side of a pipe is a process.
echo "number $1" | while read -r word number; do echo "$number $word"; done
