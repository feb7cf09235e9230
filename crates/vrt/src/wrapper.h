/* What a module may include, and the two structures of varnishd's own header (http_conn for a
 * backend's answer, params for defaults) that every backend in a module depends on. */
#include <stdio.h>
#include <stdlib.h>

#include "cache/cache_varnishd.h"
#include "cache/cache_filter.h"
#include "cache/cache_director.h"

#include "vcl.h"
#include "vrt_obj.h"
#include "vsb.h"
#include "vtim.h"

#include "shim.h"
