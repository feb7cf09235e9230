/* varnishd looks for Vmod_tinykvm_Data. The compiler of Rust hides symbols of C objects, so the
 * symbol is a static of Rust, and the generated structure is copied into it when the module is
 * loaded. Its type differs between releases of Varnish, so only C knows it. */
#define Vmod_tinykvm_Data vcc_data
#include "vcc_if.c"
#undef Vmod_tinykvm_Data

#include <string.h>

extern unsigned char Vmod_tinykvm_Data[256];

_Static_assert(sizeof vcc_data <= sizeof Vmod_tinykvm_Data, "vmod_data outgrew its static");

__attribute__((constructor, used)) static void
vcc_fill(void)
{
	memcpy(Vmod_tinykvm_Data, &vcc_data, sizeof vcc_data);
}
