/* Ends the program with a message unless the condition holds. */
#ifndef CHECK_H
#define CHECK_H
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition) \
	do { if (!(condition)) { printf("line %d: %s (errno %d)\n", __LINE__, #condition, errno); \
		exit(1); } } while (0)
#endif
