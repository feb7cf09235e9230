// A dynamically linked program that needs no library: the dynamic loader finds it by the auxiliary
// vector, relocates it, and jumps to its entry point.
static long call(long number, long a, long b, long c) {
	long result;
	__asm__ volatile("syscall" : "=a"(result) : "a"(number), "D"(a), "S"(b), "d"(c) : "rcx", "r11", "memory");
	return result;
}

static const char text[] = "relocated\n";
const char *volatile pointer = text;
const char **volatile twice = (const char **)&pointer;

void _start(void) {
	if (*twice == text)
		call(1, 1, (long)*twice, sizeof(text) - 1);
	call(231, 3, 0, 0);
	__builtin_unreachable();
}
