#include "wrapper.h"

/* The type of transaction numbers changed; its constant for "none" appeared at the same time. */
#ifndef NO_VXID
#define NO_VXID 0
#endif

void
tinykvm_vsl_global(enum VSL_tag_e tag, const char *text)
{
	VSL(tag, NO_VXID, "%s", text);
}
