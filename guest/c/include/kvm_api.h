/* For programs that were written for the published kvm_api.h: the same names. New programs
 * include tinykvm.h.
 *
 * SPDX-License-Identifier: MIT OR Apache-2.0
 */
#ifndef TINYKVM_KVM_API_H
#define TINYKVM_KVM_API_H

#include "tinykvm.h"

/* Whose headers, as Varnish numbers them. */
static const int REQ = TINYKVM_REQUEST;
static const int RESP = TINYKVM_RESPONSE;
static const int BEREQ = TINYKVM_BACKEND_REQUEST;
static const int BERESP = TINYKVM_BACKEND_RESPONSE;

#endif /* TINYKVM_KVM_API_H */
