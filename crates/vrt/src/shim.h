/* Macros and types that differ between releases in ways that bindings can't follow. */

/* Writes one record that belongs to no transaction. */
void tinykvm_vsl_global(enum VSL_tag_e tag, const char *text);
