/* The native part of TinyKVM guest programs in Java: waiting for a request, and answering.
 *
 *     J=/usr/lib/jvm/java-17-openjdk-amd64/include
 *     gcc -O2 -shared -fPIC -I$J -I$J/linux -Iguest/c/include guest/java/tinykvm.c -o libtinykvm.so
 */
#include <jni.h>
#include <tinykvm.h>

static struct kvm_request request;

static void set(JNIEnv *java, jobjectArray array, int index, const void *data, size_t length)
{
	jbyteArray bytes = (*java)->NewByteArray(java, (jsize)length);
	if (bytes == NULL)
		return; /* OutOfMemoryError is on its way */
	(*java)->SetByteArrayRegion(java, bytes, 0, (jsize)length, data);
	(*java)->SetObjectArrayElement(java, array, index, bytes);
	(*java)->DeleteLocalRef(java, bytes);
}

JNIEXPORT jobjectArray JNICALL Java_tinykvm_TinyKVM_await(JNIEnv *java, jclass class)
{
	(void)class;
	wait_for_requests_paused(&request);
	jclass element = (*java)->FindClass(java, "[B");
	jobjectArray all = element ? (*java)->NewObjectArray(java, 6, element, NULL) : NULL;
	if (all == NULL)
		return NULL;
	set(java, all, 0, request.method, request.method_len);
	set(java, all, 1, request.url, request.url_len);
	set(java, all, 2, request.arg, request.arg_len);
	set(java, all, 3, request.content_type, request.content_type_len);
	set(java, all, 4, request.content, request.content_len);
	set(java, all, 5, request.prng, sizeof request.prng);
	return all;
}

JNIEXPORT void JNICALL Java_tinykvm_TinyKVM_respond(JNIEnv *java, jclass class, jint status,
                                                    jbyteArray type, jbyteArray body)
{
	(void)class;
	jsize type_length = (*java)->GetArrayLength(java, type);
	jsize length = (*java)->GetArrayLength(java, body);
	jbyte *type_bytes = (*java)->GetByteArrayElements(java, type, NULL);
	jbyte *bytes = (*java)->GetByteArrayElements(java, body, NULL);
	if (type_bytes && bytes)
		backend_response((int16_t)status, type_bytes, (size_t)type_length, bytes, (size_t)length);
}
