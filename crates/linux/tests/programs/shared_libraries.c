/* A dynamically linked program with libraries, which it finds by the dynamic loader alone. */
#include "check.h"
#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(int argc, char **argv)
{
	volatile double two = 2;
	CHECK(fabs(sqrt(two) * sqrt(two) - 2) < 1e-9);
	char *copy = strdup(argv[0]);
	CHECK(copy && !strcmp(copy, "program"));
	free(copy);
	/* One more at run time: its relocations make a part of it writable, and read-only again. */
	void *library = dlopen("libstdc++.so.6", RTLD_NOW);
	CHECK(library);
	char *(*demangle)(const char *, char *, size_t *, int *) = dlsym(library, "__cxa_demangle");
	CHECK(demangle);
	int status = 1;
	char *name = demangle("_Z3fooi", NULL, NULL, &status);
	CHECK(status == 0 && !strcmp(name, "foo(int)"));
	free(name);
	puts("ok");
	return 0;
}
