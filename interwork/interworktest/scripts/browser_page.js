// One Jabber client in one page: npm's stanza for XMPP and Jingle, the browser's
// own WebRTC for media. Jingle Message Initiation (XEP-0353) is done here in raw
// XML, in the manner of Conversations and Movim. The test drives it by calling
// window.client's functions, and hears of everything by window.report.
'use strict';

window.client = (() => {
	const JMI = 'urn:xmpp:jingle-message:0';
	const JINGLE = 'urn:xmpp:jingle:1';
	const RATE = 48000;
	const KEEP = 60; // seconds of what was heard that are kept

	let options; // of login
	let xmpp; // stanza's client
	let context, gain, microphone, level;
	const calls = new Map(); // by sid

	const report = (kind, fields) => window.report(JSON.stringify({ kind, ...fields }));
	window.addEventListener('error', e => report('trouble', { text: String(e.message) }));
	window.addEventListener('unhandledrejection', e => report('trouble', { text: String(e.reason && e.reason.stack || e.reason) }));

	const escape = s => s.replace(/[&<>'"]/g, c => '&#' + c.charCodeAt(0) + ';');
	const raw = xml => xmpp.transport.write(xml);
	const bare = jid => jid.split('/')[0];
	const now = () => performance.timeOrigin + performance.now();
	const call = sid => {
		const c = calls.get(sid);
		if (!c) throw new Error('no call ' + sid);
		return c;
	};

	// The microphone is a tone. A worklet listens to what the peer says.
	async function sound(hertz) {
		context = new AudioContext({ sampleRate: RATE, latencyHint: 'interactive' });
		const tap = `registerProcessor('tap', class extends AudioWorkletProcessor {
			constructor() { super(); this.block = new Float32Array(2400); this.used = 0; this.start = 0; }
			process([input]) {
				if (this.used === 0) this.start = currentTime;
				const samples = input[0] || new Float32Array(128);
				for (const s of samples) {
					this.block[this.used++] = s;
					if (this.used === this.block.length) {
						this.port.postMessage({ start: this.start, block: this.block.slice() });
						this.used = 0;
						this.start = currentTime;
					}
				}
				return true;
			}
		})`;
		await context.audioWorklet.addModule('data:text/javascript,' + encodeURIComponent(tap));
		await context.resume();
		level = 0.25;
		const oscillator = new OscillatorNode(context, { frequency: hertz });
		gain = new GainNode(context, { gain: level });
		const out = new MediaStreamAudioDestinationNode(context, { channelCount: 1 });
		oscillator.connect(gain).connect(out);
		oscillator.start();
		microphone = out.stream;
	}

	// contextTime tells a time of the audio clock on the clock of all pages, in
	// milliseconds.
	const wall = seconds => now() + (seconds - context.currentTime) * 1000;

	function listenTo(c, stream) {
		// Chromium decodes what somebody plays.
		c.player = new Audio();
		c.player.srcObject = stream;
		c.player.muted = true;
		c.player.play();
		c.heard = [];
		c.waiting = [];
		c.tap = new AudioWorkletNode(context, 'tap', { numberOfOutputs: 0, channelCount: 1, channelCountMode: 'explicit' });
		context.createMediaStreamSource(stream).connect(c.tap);
		c.tap.port.onmessage = ({ data }) => {
			c.heard.push(data);
			if (c.heard.length > KEEP * RATE / 2400) c.heard.shift();
			c.waiting = c.waiting.filter(check => !check());
		};
	}

	function adopt(session, fields) {
		const c = { session, ...fields };
		calls.set(session.sid, c);
		session.pc.addEventListener('track', e => listenTo(c, e.streams[0] || new MediaStream([e.track])));
		for (const event of ['connectionstatechange']) {
			session.pc.addEventListener(event, () => report('connection', { sid: session.sid, text: session.pc.connectionState }));
		}
		return c;
	}

	// prepare gives a session the microphone, and only the chosen codecs.
	async function prepare(session) {
		await session.addTrack(microphone.getAudioTracks()[0], microphone);
		if (!options.codecs) return;
		const all = RTCRtpReceiver.getCapabilities('audio').codecs;
		const wanted = [...options.codecs, 'telephone-event'].flatMap(name =>
			all.filter(a => a.mimeType.toLowerCase() === 'audio/' + name.toLowerCase()));
		for (const t of session.pc.getTransceivers()) t.setCodecPreferences(wanted);
	}

	async function initiate(to, sid, fields) {
		const session = xmpp.jingle.createMediaSession(to, sid);
		adopt(session, { outgoing: true, ...fields });
		await prepare(session);
		await session.start({ offerToReceiveAudio: true });
		report('initiated', { sid: session.sid, from: xmpp.jid, to });
		return session.sid;
	}

	async function acceptSession(c) {
		await prepare(c.session);
		await c.session.accept();
		if (options.codecs) {
			// Chromium answers with the preferred codecs and then sends what the offer
			// prefers, though the answer leaves it out.
			for (const sender of c.session.pc.getSenders()) {
				const parameters = sender.getParameters();
				const codec = parameters.codecs.find(k => k.mimeType.toLowerCase() === 'audio/' + options.codecs[0].toLowerCase());
				for (const encoding of parameters.encodings) encoding.codec = codec;
				await sender.setParameters(parameters);
			}
		}
		report('accepted', { sid: c.session.sid });
	}

	const jmi = (to, name, sid, inner, extra) => raw(
		`<message xmlns='jabber:client' type='chat' to='${escape(to)}' id='jm-${name}-${sid}'>` +
		`<${name} xmlns='${JMI}' id='${sid}'${inner ? `>${inner}</${name}>` : '/>'}${extra || ''}` +
		`<store xmlns='urn:xmpp:hints'/></message>`);
	const reasonXML = name => `<reason xmlns='${JINGLE}'><${name}/></reason>`;

	// proposals by id: {to or from, outgoing, proceeded}
	const proposals = new Map();

	function received(data) {
		if (!data.startsWith('<message') && !data.startsWith('<iq') && !data.startsWith('<presence')) return;
		const stanza = new DOMParser().parseFromString(data, 'text/xml').documentElement;
		if (stanza.localName !== 'message') return;
		const from = stanza.getAttribute('from');
		for (const e of stanza.children) {
			if (e.localName === 'received' && e.namespaceURI === 'urn:xmpp:receipts') {
				const id = e.getAttribute('id') || '';
				if (id.startsWith('jm-propose-')) report('receipt', { sid: id.slice('jm-propose-'.length), from });
			}
			if (e.namespaceURI !== JMI) continue;
			const sid = e.getAttribute('id');
			const why = e.querySelector('reason > :not(text)');
			report(e.localName, { sid, from, reason: why ? why.localName : '' });
			if (!options.jmi) continue;
			const p = proposals.get(sid);
			switch (e.localName) {
				case 'propose':
					proposals.set(sid, { from, outgoing: false });
					if (options.ring) jmi(from, 'ringing', sid);
					break;
				case 'proceed':
					if (p && p.outgoing && !p.proceeded && bare(from) === bare(p.to)) {
						p.proceeded = true;
						initiate(from, sid, { jmi: true });
					}
					break;
				case 'retract':
				case 'reject':
					proposals.delete(sid);
					break;
			}
		}
	}

	// relayed has all connections go by a TURN server, and hides what peers have else.
	function relayed(turn) {
		const native = window.RTCPeerConnection;
		const usable = line => !/(^|a=)candidate:/.test(line) || / typ relay/.test(line);
		window.RTCPeerConnection = class extends native {
			constructor(config, ...rest) { super({ ...config, iceServers: [turn], iceTransportPolicy: 'relay' }, ...rest); }
			setRemoteDescription(d) {
				return super.setRemoteDescription({ type: d.type, sdp: d.sdp.split('\r\n').filter(usable).join('\r\n') });
			}
			addIceCandidate(k, ...rest) {
				return k && k.candidate && !usable(k.candidate) ? Promise.resolve() : super.addIceCandidate(k, ...rest);
			}
		};
	}

	async function login(o) {
		options = o;
		if (o.turn) relayed(o.turn);
		await sound(o.tone);
		xmpp = stanza.createClient({
			jid: o.jid, password: o.password, resource: o.resource, useStreamManagement: false, autoReconnect: false,
			transports: { websocket: o.url, bosh: false },
			jingle: { iceServers: [], trickleIce: true, advertiseVideo: false, advertiseFileTransfer: false },
		});
		// Proving the password by SCRAM costs a page half a second.
		for (const name of ['SCRAM-SHA-256', 'SCRAM-SHA-1']) xmpp.sasl.disable(name);
		if (o.jmi) xmpp.disco.addFeature(JMI);
		xmpp.on('raw:incoming', data => { report('stanza', { out: false, text: data }); received(data); });
		xmpp.on('raw:outgoing', data => report('stanza', { out: true, text: String(data) }));
		xmpp.jingle.on('log:error', (...what) => report('log', { text: what.map(w => w && w.message || (typeof w === 'string' ? w : JSON.stringify(w))).join(' ') }));
		xmpp.on('jingle:incoming', async session => {
			const p = proposals.get(session.sid);
			const c = adopt(session, { jmi: !!p });
			// The remote track came with the offer, before anyone could listen for it.
			for (const r of session.pc.getReceivers()) listenTo(c, new MediaStream([r.track]));
			report('incoming', { sid: session.sid, from: session.peerID });
			if (p && p.proceeded) await acceptSession(c);
			else if (options.ring) await session.ring();
		});
		xmpp.on('jingle:accepted', session => report('answered', { sid: session.sid, from: session.peerID }));
		xmpp.on('jingle:ringing', session => report('ringing-info', { sid: session.sid, from: session.peerID }));
		xmpp.on('jingle:terminated', (session, why) => report('terminated', { sid: session.sid, from: session.peerID, reason: why && why.condition || '' }));
		xmpp.on('available', p => report('available', { from: p.from }));
		xmpp.on('subscribe', p => raw(`<presence xmlns='jabber:client' type='subscribed' to='${escape(bare(p.from))}'/>`));
		xmpp.on('disconnected', () => report('disconnected', {}));
		await new Promise((resolve, reject) => {
			xmpp.on('session:started', resolve);
			xmpp.on('auth:failed', () => reject(new Error('authentication failed')));
			xmpp.on('disconnected', () => reject(new Error('disconnected')));
			xmpp.connect();
		});
		await xmpp.getRoster();
		xmpp.updateCaps();
		// From then on the server delivers what is sent to the account.
		const there = new Promise(resolve => xmpp.on('available', p => { if (p.from === xmpp.jid) resolve(); }));
		xmpp.sendPresence({ legacyCapabilities: xmpp.disco.getCaps() });
		await there;
		return xmpp.jid;
	}

	return {
		login,
		send: raw,
		show: jid => { xmpp.sendPresence({ to: jid, legacyCapabilities: xmpp.disco.getCaps() }); },
		befriend: jid => {
			raw(`<presence xmlns='jabber:client' type='subscribe' to='${escape(jid)}'/>`);
			xmpp.sendPresence({ to: jid, legacyCapabilities: xmpp.disco.getCaps() });
		},
		prefer: codecs => { options.codecs = codecs.length ? codecs : null; },

		// dial calls somebody: with JMI when the client does that.
		dial: async to => {
			if (!options.jmi) return initiate(to, undefined, {});
			const sid = crypto.randomUUID();
			proposals.set(sid, { to, outgoing: true });
			jmi(bare(to), 'propose', sid, `<description xmlns='urn:xmpp:jingle:apps:rtp:1' media='audio'/>`, `<request xmlns='urn:xmpp:receipts'/>`);
			return sid;
		},
		// answer takes a proposal or a session.
		answer: async sid => {
			const p = proposals.get(sid);
			if (p && !p.outgoing) {
				p.proceeded = true;
				jmi(bare(xmpp.jid), 'accept', sid);
				jmi(p.from, 'proceed', sid);
				return;
			}
			await acceptSession(call(sid));
		},
		// end gives up, refuses or hangs up, as the state of the call demands.
		end: (sid, reason) => {
			const c = calls.get(sid);
			const p = proposals.get(sid);
			if (c && c.session.state !== 'ended') {
				const state = c.session.state;
				c.session.end(reason || (state === 'active' ? 'success' : c.outgoing ? 'cancel' : 'decline'));
				if (c.jmi) jmi(c.session.peerID, 'finish', sid, reasonXML(reason || 'success'));
				return;
			}
			if (!p) throw new Error('nothing to end: ' + sid);
			if (p.outgoing) jmi(bare(p.to), 'retract', sid, reasonXML(reason || 'cancel'));
			else jmi(p.from, 'reject', sid, reasonXML(reason || 'busy'));
			proposals.delete(sid);
		},
		clear: () => {
			proposals.clear();
			xmpp.jingle.endAllSessions('gone');
			calls.clear();
		},
		hold: (sid, on) => on ? call(sid).session.hold() : call(sid).session.resume(),
		dtmf: (sid, digits) => {
			const sender = call(sid).session.pc.getSenders().find(s => s.dtmf);
			sender.dtmf.insertDTMF(digits, 120, 80);
		},
		// listen returns what is heard in the next so many seconds: 16-bit samples
		// in base64, and when the first of them was heard.
		listen: async (sid, seconds) => {
			const c = call(sid);
			if (!c.tap) throw new Error('no remote track in ' + sid);
			c.heard = [];
			const need = seconds * RATE;
			await new Promise(resolve => c.waiting.push(() => {
				const enough = c.heard.length * 2400 >= need;
				if (enough) resolve();
				return enough;
			}));
			const blocks = c.heard.slice();
			const out = new Int16Array(blocks.length * 2400);
			blocks.forEach((b, i) => b.block.forEach((s, j) => { out[i * 2400 + j] = Math.max(-32768, Math.min(32767, Math.round(s * 32767))); }));
			const bytes = new Uint8Array(out.buffer);
			let text = '';
			for (let i = 0; i < bytes.length; i += 0x8000) text += String.fromCharCode(...bytes.subarray(i, i + 0x8000));
			return { rate: RATE, start: wall(blocks[0].start), samples: btoa(text) };
		},
		// mark is silent for a moment and returns when the tone starts again.
		mark: async (lead, silence) => {
			const from = context.currentTime + lead;
			gain.gain.setValueAtTime(0, from);
			gain.gain.setValueAtTime(level, from + silence);
			return wall(from + silence);
		},
		stats: async sid => {
			const all = await call(sid).session.pc.getStats();
			const find = (type, more) => [...all.values()].find(s => s.type === type && (!more || more(s))) || {};
			const audio = s => s.kind === 'audio';
			const received = find('inbound-rtp', audio), sent = find('outbound-rtp', audio), transport = find('transport');
			const codec = s => (all.get(s.codecId) || {}).mimeType || '';
			return {
				received: received.packetsReceived || 0, lost: received.packetsLost || 0, sent: sent.packetsSent || 0,
				concealed: received.concealedSamples || 0, silent: received.silentConcealedSamples || 0, samples: received.totalSamplesReceived || 0,
				delay: received.jitterBufferEmittedCount ? 1000 * received.jitterBufferDelay / received.jitterBufferEmittedCount : 0,
				roundTrip: 1000 * (find('remote-inbound-rtp').roundTripTime || 0),
				codecIn: codec(received).replace('audio/', ''), codecOut: codec(sent).replace('audio/', ''),
				dtls: transport.dtlsState || '', srtp: transport.srtpCipher || '', ice: transport.iceState || '',
			};
		},
		logout: () => xmpp.disconnect(),
	};
})();
