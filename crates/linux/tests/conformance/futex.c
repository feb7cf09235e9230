/* Futexes by system call, as libraries other than the C library use them. */
#include "case.h"
#include <linux/futex.h>

static uint32_t word, other;
static volatile int woken;

static long futex(uint32_t *at, int operation, uint32_t value, void *time, uint32_t *second, uint32_t third)
{
	return syscall(SYS_futex, at, operation, value, time, second, third);
}

struct waiter {
	uint32_t *at;
	uint32_t bits;
	long result;
	int error;
	pthread_t thread;
};

static int waiting;
static void *wait_on(void *argument)
{
	struct waiter *it = argument;
	__atomic_add_fetch(&waiting, 1, __ATOMIC_SEQ_CST);
	it->result = futex(it->at, FUTEX_WAIT_BITSET | FUTEX_PRIVATE_FLAG, 0, NULL, NULL, it->bits);
	it->error = errno;
	__atomic_add_fetch(&woken, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static struct waiter waiters[8];
static void start_waiters(int count, uint32_t *at)
{
	for (int i = 0; i < count; i++) {
		waiters[i] = (struct waiter){.at = at, .bits = FUTEX_BITSET_MATCH_ANY};
		waiters[i].thread = start(wait_on, &waiters[i]);
	}
	while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < count)
		sched_yield();
	sleep_ms(30);
}

static void join_waiters(int count)
{
	for (int i = 0; i < count; i++) {
		pthread_join(waiters[i].thread, NULL);
		SAY("waiter %d: %ld", i, waiters[i].result);
	}
}

static void settle(int count)
{
	for (int i = 0; i < 2000 && woken < count; i++)
		sleep_ms(1);
	sleep_ms(10);
	SAY("%d woken", woken);
}

CASE(wait_returns_at_once_if_the_value_differs)
{
	struct timespec none = {0, 0};
	SHOW(futex(&word, FUTEX_WAIT, 1, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_WAIT | FUTEX_PRIVATE_FLAG, 1, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_WAIT, 0, &none, NULL, 0));
	SHOW(futex(&word, FUTEX_WAKE, 1, NULL, NULL, 0));
}

CASE(timeouts)
{
	struct timespec relative = {0, 20000000}, absolute = in_ms(CLOCK_MONOTONIC, 50), real = in_ms(CLOCK_REALTIME, 80);
	struct timespec wrong = {0, 1000000000}, negative = {-1, 0}, past = {1, 0};
	long begin = now_ms();
	SHOW(futex(&word, FUTEX_WAIT, 0, &relative, NULL, 0));
	IS(now_ms() - begin >= 19);
	SHOW(futex(&word, FUTEX_WAIT_BITSET, 0, &absolute, NULL, 1));
	IS(now_ms() - begin >= 49);
	SHOW(futex(&word, FUTEX_WAIT_BITSET | FUTEX_CLOCK_REALTIME, 0, &real, NULL, 1));
	IS(now_ms() - begin >= 79);
	SHOW(futex(&word, FUTEX_WAIT_BITSET, 0, &past, NULL, 1));
	SHOW(futex(&word, FUTEX_WAIT, 0, &wrong, NULL, 0));
	SHOW(futex(&word, FUTEX_WAIT, 0, &negative, NULL, 0));
	SHOW(futex(&word, FUTEX_WAIT, 0, NOWHERE, NULL, 0));
}

CASE(wake_counts)
{
	start_waiters(5, &word);
	SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
	settle(1);
	SHOW(futex(&other, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_WAKE_PRIVATE, INT_MAX, NULL, NULL, 0) >= 4);
	settle(5);
	SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0));
	join_waiters(5);
}

CASE(wake_some)
{
	start_waiters(4, &word);
	SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 3, NULL, NULL, 0));
	settle(3);
	SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 3, NULL, NULL, 0));
	join_waiters(4);
}

CASE(bit_sets)
{
	for (int i = 0; i < 4; i++) {
		waiters[i] = (struct waiter){.at = &word, .bits = 1u << i};
		waiters[i].thread = start(wait_on, &waiters[i]);
	}
	while (__atomic_load_n(&waiting, __ATOMIC_SEQ_CST) < 4)
		sched_yield();
	sleep_ms(30);
	SHOW(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 16));
	SHOW(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 6));
	settle(2);
	SHOW(futex(&word, FUTEX_WAKE_BITSET_PRIVATE, 9, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_WAIT_BITSET_PRIVATE, 0, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0));
	join_waiters(4);
}

CASE(requeue)
{
	start_waiters(5, &word);
	SHOW(futex(&word, FUTEX_REQUEUE_PRIVATE, 1, (void *)2, &other, 0));
	settle(1);
	SHOW(futex(&word, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0));
	settle(3);
	SHOW(futex(&other, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0));
	join_waiters(5);
}

CASE(compare_and_requeue)
{
	start_waiters(4, &word);
	SHOW(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)9, &other, 7));
	SHOW(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)9, &other, 0));
	settle(1);
	SHOW(futex(&other, FUTEX_WAKE_PRIVATE, 9, NULL, NULL, 0));
	join_waiters(4);
	SHOW(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, 1, (void *)1, NOWHERE, 0));
	SHOW(futex(&word, FUTEX_CMP_REQUEUE_PRIVATE, -1, (void *)1, &other, 0));
}

CASE(wake_and_operate)
{
	start_waiters(3, &word);
	other = 5;
	SHOW(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, (void *)1, &other,
		   FUTEX_OP(FUTEX_OP_ADD, 3, FUTEX_OP_CMP_EQ, 6)));
	SAY("%u", other);
	settle(1);
	SHOW(futex(&other, FUTEX_WAKE_OP_PRIVATE, 1, (void *)9, &word,
		   FUTEX_OP(FUTEX_OP_OR, 16, FUTEX_OP_CMP_EQ, 0)));
	SAY("%u", word);
	join_waiters(3);
	static const int operations[] = {FUTEX_OP_SET, FUTEX_OP_ADD, FUTEX_OP_OR, FUTEX_OP_ANDN, FUTEX_OP_XOR};
	for (int i = 0; i < 5; i++) {
		other = 12;
		SHOW(futex(&word, FUTEX_WAKE_OP, 0, NULL, &other, FUTEX_OP((unsigned)operations[i], 6, FUTEX_OP_CMP_GT, 1)));
		SAY("%u", other);
	}
	SHOW(futex(&word, FUTEX_WAKE_OP, 1, NULL, NOWHERE, 0));
	SHOW(futex(&word, FUTEX_WAKE_OP, 1, NULL, &other, 7u << 28));
}

CASE(wrong_operations)
{
	SHOW(futex(&word, 77, 0, NULL, NULL, 0));
	SHOW(futex((uint32_t *)((char *)&word + 1), FUTEX_WAIT, 0, NULL, NULL, 0));
	SHOW(futex((uint32_t *)((char *)&word + 2), FUTEX_WAKE, 0, NULL, NULL, 0));
	SHOW(futex(NOWHERE, FUTEX_WAIT, 0, NULL, NULL, 0));
	SHOW(futex(NOWHERE, FUTEX_WAKE, 1, NULL, NULL, 0));
	SHOW(futex(NOWHERE, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
	SHOW(futex(NULL, FUTEX_WAIT, 0, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_WAKE | FUTEX_CLOCK_REALTIME, 0, NULL, NULL, 0));
}

static void *fight(void *argument)
{
	SHOW(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	struct timespec soon = in_ms(CLOCK_REALTIME, 20);
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, &soon, NULL, 0));
	return NULL;
}

static void *lock_and_leave(void *argument)
{
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	IS((word & FUTEX_TID_MASK) == (uint32_t)gettid());
	SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	return NULL;
}

CASE(priority_inheritance)
{
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	IS(word == (uint32_t)gettid());
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_TRYLOCK_PI, 0, NULL, NULL, 0));
	pthread_join(start(fight, NULL), NULL);
	SHOW(futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0));
	SHOW(word);
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
	pthread_t thread = start(lock_and_leave, NULL);
	while (!(__atomic_load_n(&word, __ATOMIC_SEQ_CST) & FUTEX_WAITERS))
		sched_yield();
	futex(&word, FUTEX_UNLOCK_PI, 0, NULL, NULL, 0);
	pthread_join(thread, NULL);
	SHOW(word & FUTEX_TID_MASK);
	word = 0x3fffff;
	SHOW(futex(&word, FUTEX_LOCK_PI, 0, NULL, NULL, 0));
}

struct robust { struct robust_list_head head; struct robust_list entry; uint32_t lock; };
static struct robust list;
static void *die_with_the_lock(void *argument)
{
	list.head = (struct robust_list_head){.list.next = &list.entry, .futex_offset = offsetof(struct robust, lock) - offsetof(struct robust, entry)};
	list.entry.next = &list.head.list;
	list.lock = (uint32_t)gettid();
	SHOW(syscall(SYS_set_robust_list, &list.head, sizeof list.head));
	if (argument)
		sleep_ms(30);
	return NULL;
}

CASE(robust_lists)
{
	struct robust_list_head *head;
	size_t length = 0;
	pthread_join(start(die_with_the_lock, NULL), NULL);
	SAY("%#x", list.lock);
	SHOW(syscall(SYS_get_robust_list, 0, &head, &length));
	SAY("%zu", length);
	SHOW(syscall(SYS_set_robust_list, &list.head, 23));
	pthread_t thread = start(die_with_the_lock, (void *)1);
	while (!list.lock || list.lock & FUTEX_OWNER_DIED)
		sched_yield();
	list.lock |= FUTEX_WAITERS;
	long result = futex(&list.lock, FUTEX_WAIT, list.lock, NULL, NULL, 0);
	pthread_join(thread, NULL);
	SAY("%d %#x", result == 0 || errno == EAGAIN, list.lock);
}

static volatile uint32_t child_id;
static int child(void *argument)
{
	word = 5;
	return 0;
}

CASE(the_id_is_cleared_at_the_end_of_a_thread)
{
	char *stack = mmap(NULL, 65536, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	pid_t parent = 0;
	int id = clone(child, stack + 65536,
		       CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM |
			       CLONE_CHILD_SETTID | CLONE_CHILD_CLEARTID | CLONE_PARENT_SETTID,
		       NULL, &parent, NULL, &child_id);
	IS(id > 0 && parent == id);
	uint32_t now;
	while ((now = child_id) != 0 || word != 5)
		futex((uint32_t *)&child_id, FUTEX_WAIT, now, &(struct timespec){0, 1000000}, NULL, 0);
	SAY("%u", word);
}

CASE(futex_in_read_only_memory)
{
	uint32_t *at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	SHOW(futex(at, FUTEX_WAIT_PRIVATE, 1, NULL, NULL, 0));
	SHOW(futex(at, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0));
	SHOW(futex(at, FUTEX_LOCK_PI_PRIVATE, 0, NULL, NULL, 0));
	SHOW(futex(&word, FUTEX_WAKE_OP_PRIVATE, 1, NULL, at, 0));
}
